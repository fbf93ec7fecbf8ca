#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Draw what run.sh has measured, as SVG: for each row the contenders' medians, with a line from the least to the most; for each curve
# (rows named curve@x) a line per contender.
#   plot.sh <results folder> <folder for the pictures>
set -eu
export LC_ALL=C
results=$1
pictures=$2

command -v gnuplot >/dev/null || { echo "gnuplot is not installed: no plots (package gnuplot-nox)" && exit 0; }
mkdir -p "$pictures"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tab=$(printf '\t')

# The table's lines of one row or curve, the title last.
lines_of() {
    awk -F '\t' -v name="$1" 'NR > 1 { row = $1; sub(/@.*/, "", row) } NR > 1 && row == name' "$results/table.tsv"
}

draw_bars() {
    lines_of "$1" | awk -F '\t' '{ printf "%s\t%s\t%s\t%s\n", $2, $3, $4, $5 }' >"$scratch/bars"
    (cd "$scratch" && gnuplot) >"$pictures/$1.svg" <<-PLOT
	set terminal svg size 720,$((110 + 24 * $(wc -l <"$scratch/bars"))) font "sans-serif,12" background "white"
	set title "$1"
	set xlabel "$2 (logarithmic)"
	set logscale x
	set format x "10^{%L}"
	set yrange [-0.7:$(wc -l <"$scratch/bars") - 0.3] reverse
	set grid xtics
	set key off
	set datafile separator "\t"
	plot "bars" using 2:0:3:4:ytic(1) with xerrorbars linecolor "gray60" linewidth 2, \
	     "bars" using 2:0 with points linecolor "black" pointtype 7 pointsize 0.7
	PLOT
}

draw_curve() {
    lines_of "$1" | awk -F '\t' -v folder="$scratch" '{
        x = $1; sub(/.*@/, "", x)
        printf "%s\t%s\t%s\t%s\n", x, $3, $4, $5 >folder "/curve." $2
    }'
    plots=
    for file in "$scratch"/curve.*; do
        plots="$plots${plots:+, }'${file##*/}' using 1:2:3:4 with yerrorlines title '${file##*/curve.}'"
    done
    (cd "$scratch" && gnuplot) >"$pictures/$1.svg" <<-PLOT
	set terminal svg size 720,480 font "sans-serif,12" background "white"
	set title "$1"
	set xlabel "$1"
	set ylabel "$2"
	set logscale xy
	set format x "10^{%L}"
	set grid
	set key outside right noenhanced
	set datafile separator "\t"
	plot $plots
	PLOT
    rm -f "$scratch"/curve.*
}

awk -F '\t' 'NR > 1 { kind = $1 ~ /@/ ? "curve" : "bars"; sub(/@.*/, "", $1); line = $1 "\t" kind "\t" $6 }
    NR > 1 && ++n[line] == 2 { print line }' "$results/table.tsv" >"$scratch/plots" # one point is no picture
while IFS=$tab read -r name kind unit; do
    "draw_$kind" "$name" "$unit"
done <"$scratch/plots"
echo "$(wc -l <"$scratch/plots") plots in $pictures"
