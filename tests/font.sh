#!/usr/bin/env bash
# Makes the page's display face, web/style/figtree.woff2: one weight of the variable font Figtree, with the letters of
# the western European languages. Other scripts use the fonts of the device.
set -euo pipefail

VERSION=5.3.0
WEIGHT=650
# The spaces and punctuation of headlines, ASCII, the letters of Latin-1, and those of French and German beyond it.
UNICODES='U+20-7E,U+A0,U+A1,U+AB,U+B7,U+BB,U+BF-FF,U+152,U+153,U+178,U+1E9E,U+2013,U+2014,U+2018-201A,U+201C-201E,U+2026,U+202F'

place=$(cd "$(dirname "$0")/../web/style" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "@fontsource-variable/figtree@$VERSION" >name
tar -xzf "$(cat name)"
python3 -m venv venv
venv/bin/pip install --quiet --only-binary :all: fonttools==4.68.0 brotli==1.2.1
venv/bin/fonttools varLib.instancer --quiet --output one.woff2 package/files/figtree-latin-wght-normal.woff2 "wght=$WEIGHT"
venv/bin/pyftsubset one.woff2 --unicodes="$UNICODES" --flavor=woff2 --layout-features=kern,liga,ccmp,locl,mark --no-hinting --output-file="$place/figtree.woff2"
cp package/LICENSE "$place/figtree-OFL.txt"
