# SPDX-License-Identifier: MIT
#
# One row of the table out of raw.tsv: each contender's median, minimum and maximum, and how many times worse than libpar it is.
# The best comes first. A unit that begins with + is better when it is more.
#   awk -F '\t' -v row= -v unit= -v title= -v table= -f report.awk raw.tsv

$1 == row {
    if (!($2 in n)) names[++n_names] = $2
    value[$2, ++n[$2]] = $4 + 0
}

# Sort the values of a contender.
function sort_values(name,    i, k, x) {
    for (i = 2; i <= n[name]; i++) {
        x = value[name, i]
        for (k = i - 1; k > 0 && value[name, k] > x; k--) value[name, k + 1] = value[name, k]
        value[name, k + 1] = x
    }
    k = int((n[name] + 1) / 2)
    median[name] = n[name] % 2 ? value[name, k] : (value[name, k] + value[name, k + 1]) / 2
}

function is_better(a, b) { return is_more ? median[a] > median[b] : median[a] < median[b] }

function ratio(name) {
    if (!("libpar" in n) || median["libpar"] == 0 || median[name] == 0) return "-"
    return sprintf("%.2f", is_more ? median["libpar"] / median[name] : median[name] / median["libpar"])
}

function short(x) { return sprintf(x >= 1000 ? "%.0f" : x >= 100 ? "%.1f" : x >= 10 ? "%.2f" : "%.3f", x) }

END {
    is_more = sub(/^\+/, "", unit)
    for (i = 1; i <= n_names; i++) sort_values(names[i])
    for (i = 2; i <= n_names; i++) {
        x = names[i]
        for (k = i - 1; k > 0 && is_better(x, names[k]); k--) names[k + 1] = names[k]
        names[k + 1] = x
    }
    printf "\n%s: %s, %s\n", row, title, unit
    printf "    %-24s %12s %12s %12s %10s\n", "", "median", "min", "max", "x libpar"
    for (i = 1; i <= n_names; i++) {
        name = names[i]
        printf "    %-24s %12s %12s %12s %10s\n", name, short(median[name]), short(value[name, 1]), short(value[name, n[name]]), ratio(name)
        printf "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row, name, median[name], value[name, 1], value[name, n[name]], unit, ratio(name) >>table
    }
}
