#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Build Check with musl, from Debian's source package, because the installed one is made for glibc; and make the kernel's headers visible
# to musl-gcc. What is there already is kept. Nothing outside of the build directory changes.
#   check_for_musl.sh <build directory>      leaves include/ and lib/libcheck.a there
set -eu
build=$1
mkdir -p "$build/include" "$build/lib" "$build/apt/sources" "$build/apt/lists" "$build/source"
build=$(cd "$build" && pwd)

# Only what the kernel's own headers need: musl's come first.
mkdir -p "$build/kernel"
triplet=$(gcc -print-multiarch)
for folder in linux asm-generic; do ln -sfn "/usr/include/$folder" "$build/kernel/$folder"; done
ln -sfn "/usr/include/$triplet/asm" "$build/kernel/asm"

[ ! -f "$build/lib/libcheck.a" ] || exit 0

# The machine's own Debian sources, asked for source packages, with lists of their own.
for list in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
    if [ -f "$list" ] && grep -q '^\(URIs:\|deb \).*/debian' "$list"; then
        sed 's/^Types: .*/Types: deb-src/; s/^deb /deb-src /' "$list" >"$build/apt/sources/${list##*/}"
    fi
done
apt() {
    apt-get -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$build/apt/sources" \
        -o Dir::State::Lists="$build/apt/lists" -o APT::Sandbox::User= "$@"
}
cd "$build/source"
ls check_*.orig.tar.* >/dev/null 2>&1 || { apt update && apt source --download-only check; } >"$build/apt.log" 2>&1 || {
    tail -n 5 "$build/apt.log" >&2
    echo "check_for_musl.sh: the source package check cannot be fetched" >&2
    exit 1
}
tar -xf check_*.orig.tar.*
cd check-*/
{
    CC=musl-gcc CFLAGS='-O2 -w' ./configure -q --disable-shared --disable-subunit --disable-timeout-tests --disable-build-docs &&
        make -s -C lib && make -s -C src libcheck.la
} >"$build/check.log" 2>&1 || {
    tail -n 5 "$build/check.log" >&2
    exit 1
}
cp src/check.h check_stdint.h "$build/include/"
cp src/.libs/libcheck.a "$build/lib/"
