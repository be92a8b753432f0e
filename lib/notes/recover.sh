#!/bin/sh
# recover.sh: recover one version from a Dura archive without any Dura program.
#
#     cd ARCHIVE/BAND && sh recover.sh [-f] DEST
#
# lays this band over its ancestors (the folders beside it) in the directory
# DEST, which it makes. -f: go on although DEST is not empty, or although a
# band of the chain is missing. RECOVER.txt tells how to do the same by hand.
#
# Needs a POSIX shell and tools, tar, gzip, sha256sum; gpg and zstd where the
# bands used them. From the environment it takes
#     TAR     the tar to use, such as bsdtar or 'busybox tar' (default: tar)
#     GPG     the gpg to use, with options (default: gpg)
#     TMPDIR  where a plain copy of the indexes is kept meanwhile
# Exit status: 0 all is exact, 1 something was told, 2 nothing was done, or it
# had to stop.

set -u
LC_ALL=C; export LC_ALL
unset CDPATH TAR_OPTIONS GZIP POSIXLY_CORRECT
IFS=' 	
'
: "${TAR:=tar}" "${GPG:=gpg}"

say() { printf 'recover.sh: %s\n' "$*" >&2; }
die() { say "$@"; say 'nothing was done'; exit 2; }
tell() { say "$@"; flaw; }
flaw() { : > "$T/flaw"; }
abort() { say "$@"; kill $$; exit 2; }          # from a subshell, too

force=
[ "${1-}" = -f ] && { force=1; shift; }
[ "${1-}" = -- ] && shift
[ $# -eq 1 ] && [ -n "$1" ] || die "usage: sh recover.sh [-f] DEST"
case $1 in /*) dest=$1 ;; *) dest=./$1 ;; esac
has() { command -v "$1" >/dev/null; }
for tool in ${TAR%% *} awk chmod find gzip mktemp sed sha256sum sort touch xargs; do
    has "$tool" || die "it needs $tool"
done
if [ -e "$dest" ] || [ -h "$dest" ]; then
    [ -d "$dest" ] || die "$1 is not a directory"
    [ -n "$force" ] || [ -z "$(ls -A "$dest")" ] || die "$1 is not empty; -f recovers over what is there"
fi
case $(cd -P "$dest" 2>/dev/null || cd -P "$(dirname "$dest")" 2>/dev/null && pwd -P)/ in
"$(pwd -P)"/*) die "$1 lies in the band's folder" ;;
esac

# mktemp -d makes it 0700, so the decrypted lists in it are nobody else's.
T=$(mktemp -d) || exit 2
case $T in /*) ;; *) T=$PWD/$T ;; esac
trap 'rm -rf "$T"' EXIT
trap 'exit 2' HUP INT TERM

if tty=$(tty); then GPG_TTY=${GPG_TTY-$tty}; export GPG_TTY; fi
root=; [ "$(id -u)" -ne 0 ] || root=1
: > "$T/probe"
nanoseconds=; touch -d @-0.25 "$T/probe" 2>/dev/null && nanoseconds=1
touch=
for t in 'touch -h -d' 'touch -d'; do [ -n "$touch" ] || ! $t @1 "$T/probe" 2>/dev/null || touch=$t; done

takes() { dd if=/dev/zero bs=1024 count=1 2>/dev/null | $TAR -t "$1" -f - >/dev/null 2>&1; }
bare=           # does this tar leave out xattrs and ACLs?
case $($TAR --version 2>/dev/null) in
*GNU*)
    kind=gnu untar=$TAR
    takes --xattrs && takes --acls || bare=1
    for o in --numeric-owner --delay-directory-restore --xattrs --xattrs-include=* --acls \
        --warning=no-unknown-keyword --warning=no-timestamp; do
        takes "$o" && untar="$untar $o"
    done
    untar="$untar -xpf -" ;;
*bsdtar*)
    # In the C locale it complains of each long name that is not ASCII.
    kind=bsd untar="env LC_ALL=C.UTF-8 $TAR --numeric-owner -xpf -" ;;
*)
    # It also takes a sparse file for what it is not. As an ordinary user it
    # stops at a read-only directory, unless told to leave the modes alone.
    kind=other bare=1 untar="$TAR -xpf -"
    [ -n "$root" ] || ! takes --no-same-permissions || untar="$TAR --no-same-permissions -xf -" ;;
esac

# --- What the awk programs below share ---------------------------------------
AWK='
BEGIN {
    for (i = 1; i < 256; i++) {
        char = sprintf("%c", i); code = sprintf("\\%03o", i); byte[code] = char
        if (char !~ /[!-~]/ || index("\\#=*?[", char)) octal[char] = code
    }
}
function enc(s,   r, i, c) {
    if (s !~ /[^!-~]|[\\#=*?[]/) return s
    for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); r = r ((c in octal) ? octal[c] : c) }
    return r
}
function dec(s,   r, i) {
    while ((i = index(s, "\\"))) { r = r substr(s, 1, i - 1) byte[substr(s, i, 4)]; s = substr(s, i + 4) }
    return r s
}
# A path is taken only as enc() would write it: then no two spellings mean one
# file, and no `..` or slash hides behind octal digits.
function safe(p,   d) {
    d = dec(p)
    return p == "." || (p ~ /^\.\/./ && enc(d) == p && (d "/") !~ /\/\.?\.?\//)
}
# A line of a list for take(): raw where the path fits on a line.
function item(arg, p) {
    if (!index(p, "\\012")) return "r " arg " " dec(p)
    gsub(/\\/, "\\0", p); return "e " arg " " p
}
# Paths from find, each closed by "//", which no path holds.
function found() {
    held = held $0
    if (held !~ /\/\/$/) { held = held "\n"; return 0 }
    path = enc(substr(held, 1, length(held) - 2)); held = ""; return 1
}
# (Awks differ over a slash within brackets, unless it is in a string.)
function up(p) { sub("/[^/]*$", "", p); return p }
# The topmost symlink that p lies below, if any.
function under(p,   i, d, s) {
    for (i = 3; (d = index(substr(p, i), "/")); i += d)
        if ((s = substr(p, 1, i + d - 2)) in link) return s
    return ""
}
function pad(n) { sub(/^0+/, "", n); while (length(n) < 9) n = "0" n; return n }
function number(object) { sub(/.*\//, "", object); sub(/\..*/, "", object); return pad(object) }
function tell(s) { print "recover.sh: " s | "cat >&2"; print > flaw }
'
full() { abort "cannot write to $T: is it full?"; }
run() {
    awk -v flaw="$T/flaw" -v out="$B" -v name="$name" -v kind="$kind" -v root="$root" "$@" || full
}

# --- Lists of paths ----------------------------------------------------------
# take: the next item on stdin, into $arg and $path.
take() {
    IFS= read -r line || return 1
    path=${line#* }; arg=${path%% *}; path=${path#* }
    case $line in e*) path=$(printf '%b.' "$path"); path=${path%.} ;; esac
}
# each COMMAND: runs "COMMAND PATH..." over the items on stdin.
each() {
    do=$1; set --
    while take; do
        set -- "$@" "$path"
        [ $# -lt 100 ] || { $do "$@"; set --; }
    done
    [ $# -eq 0 ] || $do "$@"
}
# batch COMMAND: "COMMAND ARG PATH...", for neighbours with the same ARG at a
# time. What is missing is told elsewhere.
batch() {
    do=$*; was=; set --
    while take; do
        [ -e "$path" ] || [ -h "$path" ] || continue
        if [ "$arg" != "$was" ] || [ $# -ge 100 ]; then
            [ $# -eq 0 ] || $do "$was" "$@" || flaw
            set --; was=$arg
        fi
        set -- "$@" "$path"
    done
    [ $# -eq 0 ] || $do "$was" "$@" || flaw
}

# --- The chain, from the left: "DIR NAME ID START HOW STATE" ------------------
# START is the last index that counts ("max": the highest there is). HOW is
# strict where a gap ends what counts, lost where it costs only what is gone.
key() { sed -n "s/^$1: *//p" "$2" 2>/dev/null | head -n 1; }
sound() { [ "$(sed '/^sha256:/,$d' "$1" 2>/dev/null | sha256sum | sed 's/ .*//')" = "$(key sha256 "$1")" ]; }
filled() { ls "$1" 2>/dev/null | grep -q '^[0-9][0-9]*$'; }

[ -s HEAD ] || filled . || die "this is no band's folder, it has no HEAD: cd to the band first"
dir=. name=$(basename "$(pwd -P)") id=$(key id TAIL) start= unfinished= chain=
case $name in [0-9]*T[0-9]*Z) ;; *) name=$(key band HEAD) ;; esac   # the folder has another name
[ -s TAIL ] || { unfinished="UNFINISHED: $name has no TAIL; only what its indexes list is recovered"; tell "$unfinished"; }
while :; do
    case $name in *[!0-9TZ-]*|'') die "$name is not the name of a band" ;; esac
    head=$dir/HEAD parent= parent_id= parent_last=
    # TAIL repeats HEAD, and has a checksum of its own.
    [ -z "$(key dura-band "$dir/TAIL")" ] || [ "$(key band "$dir/TAIL")" != "$name" ] || ! sound "$dir/TAIL" || head=$dir/TAIL
    format=$(key dura-band "$head")
    [ $dir != . ] || [ "$(key band "$head")" = "$name" ] || format=
    case $format in
    1)  [ "$(key band "$head")" = "$name" ] && { [ $dir = . ] || [ "${id:=$(key id "$head")}" = "$(key id "$head")" ]; } ||
            die "../$name is another band than the one that the next builds on"
        id=$(key id "$head") parent=$(key parent "$head") parent_id=$(key parent-id "$head") parent_last=$(key parent-last "$head") ;;
    ?*) die "$name is in format $format, this script knows format 1: take the recover.sh of a newer Dura" ;;
    *)  filled "$dir" || [ -n "$force" ] || die "the band $name is missing; -f recovers what the others hold"
        tell "$name has lost its HEAD"
        parent=${name%-*}; [ "$parent" != "$name" ] || parent=- ;;
    esac
    state=complete how=lost
    if [ ! -s "$dir/TAIL" ]; then
        state=unfinished
    elif ! sound "$dir/TAIL" || [ "$(key id "$dir/TAIL")" != "${id:=$(key id "$dir/TAIL")}" ]; then
        tell "the TAIL of $name is damaged"
    else
        : "${start:=$(key last "$dir/TAIL")}"
    fi
    case $start in -) ;; *[!0-9]*|'') start=max; [ $state = complete ] || how=strict ;; esac
    case $id in *[!0-9a-f]*|'') id=- ;; esac
    chain="$dir $name $id $start $how $state
$chain"
    [ "$parent" != - ] || break
    case $name in "$parent"-*) ;; *) die "the HEAD of $name names a parent that it cannot have" ;; esac
    dir=../$parent name=$parent id=$parent_id start=$parent_last
done
printf '%s' "$chain" > "$T/chain"
bands() {       # FUNCTION, for each band
    tier=0
    while read -r dir name id start how state; do
        B=$T/$tier
        $1 </dev/null
        tier=$((tier + 1))
    done < "$T/chain"
}

# --- What is damaged, and what counts -----------------------------------------
# Names of objects are letters, digits, dots, dashes and slashes; no other name
# that a list may hold ever gets near a command.
verify() {
    say "checking $name (tier $tier, $state)"
    mkdir "$B"
    (
        cd -P "$dir" 2>/dev/null || exit
        for o in [0-9]*/[0-9]*.*; do [ ! -s "$o" ] || printf '%s\n' "$o"; done |
            grep '^[0-9]*/[0-9]*\.[0-9a-z.]*$' > "$B/objects"
        for l in [0-9]*/*.sha256; do [ ! -s "$l" ] || cat "$l"; done |
            awk '!/^#/ && length($1) == 64 && $2 ~ "^[0-9A-Za-z][0-9A-Za-z./-]*$" && $2 !~ /\.\./ { print $1, $2 }' > "$B/listed"
        while read -r sum o; do [ ! -s "$o" ] || printf '%s\n' "$o"; done < "$B/listed" |
            xargs sha256sum /dev/null > "$B/sums"
    )
    for f in objects listed sums; do : >> "$B/$f"; done
    awk 'FILENAME ~ /sums$/ { sum[$2] = $1; next }
        !($2 in sum) { print "missing", $2; next }
        sum[$2] != $1 { print "damaged", $2 }' "$B/sums" "$B/listed" > "$B/bad"
    while read -r what o; do tell "$what: $name/$o"; done < "$B/bad"
    if [ -s "$B/bad" ] && grep -q '\.rs[0-9]*$' "$B/listed"; then
        say "  parity may rebuild it: python3 rsrepair.py LIST.sha256, in that band's folder"
    fi
}

plain() { case $1 in *.gpg) $GPG -q -d "$1" </dev/null ;; *) cat "$1" ;; esac; }

# With no secret key at hand, say so before anything is begun.
unlock() {
    awk 'FILENAME ~ /bad$/ { bad[$2]; next } /\.gpg$/ { b = $0 in bad; print b, $0 }' "$B/bad" "$B/objects" |
        sort | sed 's/^. //;3q' > "$T/locked"
    [ -s "$T/locked" ] || return 0
    has "${GPG%% *}" || die "$name is encrypted: it needs gpg"
    while read -r o; do
        $GPG --status-fd 1 -d "$dir/$o" 2> "$T/gpg" </dev/null | grep -q '^\[GNUPG:\] PLAINTEXT' && return 0
    done < "$T/locked"
    cat "$T/gpg" >&2
    die "gpg cannot decrypt $name: it needs the secret key (gpg --import) or the passphrase"
}

# Makes of an index the lines "PATH TYPE KIND MODE OWNER TIME SUM FLAGS N", with
# KIND s (stored), o (stored, and over), i (content in an older band) or d
# (deleted), and SUM the sha256 or a symlink's target. Prints what it is after.
READ='
function field(s) { return s == "" ? "-" : s }
NR == 1 && !/^#(mtree|index) / && $0 != "#mtree" { exit }
/^#index / && !known {
    if ((id == "-" || $2 == id) && pad($3) == n && $4 == "after" && ($5 == "-" || $5 + 0 < n + 0)) {
        known = 1; after = $5 == "-" ? "-" : pad($5)
    }
}
/^#/ || NF == 0 { next }
!known { exit }
{
    split("", v); k = "s"; flags = "-"
    for (i = 2; i <= NF; i++) if ((e = index($i, "="))) v[substr($i, 1, e - 1)] = substr($i, e + 1)
    m = split(v["tags"], tag, ",")
    for (i = 1; i <= m; i++) {
        if (tag[i] == "deleted") k = "d"
        if (tag[i] == "over") k = "o"
        if (tag[i] ~ /^in:/) k = "i"
        if (tag[i] ~ /^hard:/) flags = flags "h"
        if (tag[i] == "x") flags = flags "x"
        if (tag[i] == "excluded" || tag[i] == "unreadable") next
    }
    if (!safe($1) || v["type"] == "" || ($1 == "." && v["type"] k != "dirs")) { tell($1 ": no path to recover; skipped"); next }
    print $1, v["type"], k, field(v["mode"]), field(v["uid"]) ":" field(v["gid"]), field(v["time"]), field(v["sha256digest"] v["link"]), flags, n > lines
}
END { print after }'

# Makes of "N AFTER" lines what counts: "N counted", or "N lost" for what a
# counted index names and is not there; then the next lower number goes on.
WALK='
{ after[$1] = $2; n[NR] = $1 }
function reaches(i) { for (; i != "-"; i = after[i]) if (!(i in after)) return 0; return 1 }
END {
    if (start == "max") { for (i = NR; i > 0; i--) if (how != "strict" || reaches(n[i])) { at = n[i]; break } }
    else if (start != "-") at = pad(start)
    while (at != "" && at != "-") {
        while (NR > 0 && n[NR] + 0 >= at + 0) NR--
        print at, (at in after) ? "counted" : "lost"
        at = (at in after) ? after[at] : n[NR]
    }
}'

# Makes of it all the plan, "N STATE OBJECT..." for each block that counts:
# bad, or unlisted where no checksum list speaks for it, or good.
PLAN='
FILENAME ~ /lines$/ { if ($3 == "s" || $3 == "o") full[$9]; next }
FILENAME ~ /bad$/ { if ($2 ~ /\.tar/) bad[number($2)]; next }
FILENAME ~ /listed$/ { listed[$2]; next }
FILENAME ~ /objects$/ {
    n = number($0)
    if ($0 ~ /\.tar(\.gz|\.zst)?(\.gpg)?$/) whole[n] = $0
    else if ($0 ~ /\.tar/ && match($0, /\.[0-9]+(\.gpg)?$/)) {
        i = substr($0, RSTART + 1) + 0; piece[n, i] = $0
        if (i >= parts[n]) parts[n] = i + 1
    }
    next
}
{
    n = $1; state = n in bad ? "bad" : "good"; objects = whole[n]
    if (objects == "") for (i = 0; i < parts[n]; i++) {
        if (!((n, i) in piece)) { tell("part " i " of block " n " of " name " is missing"); state = "bad"; break }
        objects = objects " " piece[n, i]
    }
    m = split(objects, o)
    for (i = 1; i <= m; i++) if (!(o[i] in listed) && state == "good") state = "unlisted"
    if (m) print n, state, objects
    else if (n in full) { tell("block " n " of " name " is missing"); print n, "bad" }
}'

read_indexes() {
    run "$AWK"'/\.mtree\.gz(\.gpg)?$/ { print number($0), $0 }' "$B/objects" | sort -n > "$B/indexes" || full
    : > "$B/table"; : > "$B/lines"
    while read -r n o; do
        rm -f "$T/torn"
        { plain "$dir/$o" || : > "$T/torn"; } | gzip -dc > "$T/text" || : > "$T/torn"
        after=$(run -v id="$id" -v n="$n" -v lines="$B/lines.$n" "$AWK$READ" "$T/text")
        [ -z "$after" ] || echo "$n $after" >> "$B/table" || full
        # A wrong line in a torn index might remove the wrong thing.
        [ ! -e "$T/torn" ] || { rm -f "$B/lines.$n"; : > "$B/torn.$n"; }
    done < "$B/indexes"
    run -v start="$start" -v how="$how" "$AWK$WALK" "$B/table" | sort -n > "$B/counts" || full
    while read -r n what; do
        [ ! -e "$B/torn.$n" ] || what=damaged
        [ $what = counted ] || tell "index $n of $name is $what: what its block holds is recovered, but cannot be checked"
        [ ! -e "$B/lines.$n" ] || cat "$B/lines.$n" >> "$B/lines" || full
    done < "$B/counts"
    rm -f "$B"/lines.*
    rest=$(awk 'FILENAME ~ /counts$/ { counts[$1]; next } !($1 in counts) { print $1 }' "$B/counts" "$B/indexes")
    [ -z "$rest" ] || say "left out of $name, as superseded or beyond a gap:" $rest
    run "$AWK$PLAN" "$B/lines" "$B/bad" "$B/listed" "$B/objects" "$B/counts" > "$B/plan"
    ! grep -q '\.zst' "$B/plan" || has zstd || die "$name is compressed with zstd: it needs zstd"
}

# --- Recovery of a band --------------------------------------------------------
# Sorts its lines, with the symlinks that find saw in DEST: what lies below one
# is told and skipped, and the symlink stands aside until the tar has passed.
SIFT='
function skip(why) { tell($1 ": " why "; skipped") }
FILENAME ~ /links$/ { if (found()) link[path]; next }
FILENAME ~ /marked$/ { marked[$0]; next }
pass == 1 {
    if ($3 == "d" && under($1) != "") skip("below a symlink")
    else if ($1 != "." && ($3 == "d" || $3 == "o") && under($1) == "") { gone[$1]; print item("-", $1) > (out "/gone") }
    next
}
FNR == 1 {      # some symlinks go before anything is looked up through them
    for (p in link) for (q = p; q ~ /\//; q = up(q)) if (q in gone) { delete link[p]; break }
}
$3 == "d" { next }
(s = under($1)) != "" { skip("below the symlink " s); if (s in here) twisted[$9]; else aside[s]; next }
$2 == "dir" && $1 in link { skip("a symlink is there"); aside[$1]; next }
# What it makes way for is no symlink; so no tar gets to follow it.
$2 != "link" && $3 == "s" && $1 in link { delete link[$1]; print item("-", $1) > (out "/gone") }
$2 == "link" && $3 == "s" { link[$1]; here[$1] }
$2 == "dir" { print item("-", $1) > (out "/dirs") }
$2 == "dir" && $1 in marked {
    if ($1 != ".") print item("-", $1) > (out "/renew")
    else if ($8 !~ /x/) tell(".: it may have attributes that are only in an older band")
}
$2 == "dir" && $8 ~ /x/ { print $1 >> had }
$2 == "file" && $3 != "i" && $8 ~ /x/ && $4 ~ /^0*[0-7]?[0145]..$/ { print item("-", $1) > (out "/sealed") }
{ print > (out "/use") }
END {
    for (s in aside) print item("-", s) > (out "/aside")
    for (n in twisted) print n > (out "/twisted")
    for (s in link) if (!(s in here || s in aside || index(s, "\\012"))) print dec(s) > (out "/avoid")
}'
# After the extraction: what to look at, and what to set.
SET='
FILENAME ~ /links$/ { if (found()) link[path]; next }
FILENAME ~ /doubt$/ { doubt[$1]; next }
under($1) != "" || ($2 != "link" && $1 in link) { tell($1 ": a symlink is in the way; skipped"); next }
{
    # What a doubtful block held is checked, and every hard link in a damaged
    # version: the file that it was linked to may be an older one.
    sum = all || $9 in doubt || (hurt && $8 ~ /h/) ? $7 : "-"
    if ($2 == "link") { gsub(/\\/, "\\0", sum); gsub(/:/, "\\0072", sum) }
    print item($2 ":" $4 ":" sum ":" $1, $1) > (out "/look")
    if ($8 ~ /x/ && $3 != "i") attributes++
    if ($5 != me) foreign = 1
}
# Set like an in: entry is also what a doubtful block held, and what this tar
# may get wrong. bsdtar takes -0.25 s for 0.25, and clears setuid; busybox knows
# no ids of 10 digits, no time before 1970, and no owners of symlinks. (But not
# what has attributes: a new owner would cost a file its capabilities.)
($9 in doubt && $8 !~ /x/) || (kind != "gnu" && ($6 ~ /^-/ || $4 ~ /^0[1-7]...$/)) { $3 = "i" }
kind == "other" && $2 == "link" { $3 = "i" }
($2 == "dir" || $3 == "i") && $4 != "-" && $6 != "-" {
    if (root) print item($5, $1) > (out "/owners")
    split($6, t, "."); s = t[1]
    if (nanoseconds) {
        if (s < 0 && t[2] > 0) { s = "-" (-s - 1); t[2] = sprintf("%09d", 1000000000 - t[2]) }
        s = s "." t[2]
    }
    if (!exact || $3 == "i") print item("@" s, $1) > (out "/times")
    # Five digits: with fewer, GNU chmod keeps a setgid bit that is there.
    d = $1; depth = gsub(/\//, "/", d)
    if ($2 != "link") print depth, item("0" $4, $1) > (out "/modes")
}
END {
    if (attributes && bare) tell(attributes " entries have xattrs or ACLs, which this tar leaves out")
    if (foreign && !root) print > foreign_file
}'
# What was wrong with older bands, without what this band has replaced.
STILL='
FILENAME ~ /use$/ { if ($3 != "i") new[$1]; next }
FILENAME ~ /lines$/ { if ($3 == "d" || $3 == "o") gone[$1]; next }
{ for (p = $1; p ~ /\//; p = up(p)) if (p in gone) next }
!($1 in new)'

in_dest() { (cd "$dest" || abort "cannot enter $dest"; "$@"); }
links() { find . -type l -exec printf '%s//\n' {} + 2>/dev/null; }
ready() {       # for a user who is not root
    while take; do
        if [ -h "$path" ] || [ ! -d "$path" ]; then continue; fi
        [ -r "$path" ] && [ -w "$path" ] && [ -x "$path" ] || chmod u+rwx "$path" || flaw
    done
}
remove() {
    rm -rf "$@" 2>/dev/null && return
    find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \;
    rm -rf "$@" || flaw
}
# No tar takes away xattrs or an ACL that a directory had in an older band. So it
# gets a new one in its place, with all that was in the old one.
pour() { find "$1" ! -name "$1" -prune -exec sh -c 'd=$1; shift; mv -- "$@" "$d"' sh "$2" {} + && rmdir "$1"; }
renew() {
    old=.recover.$$.old
    while take; do
        if [ -h "$path" ] || [ ! -d "$path" ]; then continue; fi
        mv "$path" "$old" && make "$path" && pour "$old" "$path" && continue
        tell "$path: it may have attributes that are only in an older band"
        mv "$path" "$old/.recover.$$" && mv "$old" "$path" && (cd "$path" && pour ".recover.$$" .)
    done
}
make() { mkdir -m 700 "$@" 2>/dev/null; }       # what is there may stay
aside() { i=0; while take; do i=$((i + 1)); mv "$path" ".recover.$$.$i"; done; }
back() { i=0; while take; do i=$((i + 1)); remove "$path"; mv ".recover.$$.$i" "$path"; done; }

# The blocks that the plan on stdin names, as one tar stream. Each part of a
# block is an encrypted message of its own.
stream() {
    rm -f "$B/torn"
    while read -r n state objects; do
        case $objects in *.tar.gz*) decode='gzip -dc' ;; *.tar.zst*) decode='zstd -dcq' ;; *) decode=cat ;; esac
        for o in $objects; do plain "$dir/$o" || : > "$B/torn"; done | $decode || : > "$B/torn"
        [ ! -e "$B/torn" ] || break
    done
}
extract() {
    set -- -C "$dest" "$@"
    # GNU tar would follow a symlink that is there; this keeps it from it.
    [ $kind != gnu ] || [ ! -s "$B/avoid" ] || set -- --anchored --no-wildcards -X "$B/avoid" "$@"
    # --no-same-permissions heeds the umask.
    (case $untar in *no-same*) umask 0 ;; esac; exec $untar "$@") 2> "$T/err"
    code=$?
    [ ! -s "$T/err" ] || { cat "$T/err" >&2; flaw; }
    return $code
}

# Prints what is not there, or a symlink that leads elsewhere. Files to be read
# go to the list on 3, made readable where need be.
look() {
    while take; do
        sum=${arg#*:*:}
        case $arg in file:*) is=-f ;; dir:*) is=-d ;; link:*) is=-h ;; fifo:*) is=-p ;; char:*) is=-c ;; *) is=-b ;; esac
        if [ ! $is "$path" ] || { [ $is != -h ] && [ -h "$path" ]; }; then
            printf '%s is missing\n' "${sum#*:}"
        elif [ "${sum%%:*}" = - ]; then :
        elif [ $is = -h ]; then
            [ "$(readlink "$path"; echo .)" = "$(printf '%b\n.' "${sum%%:*}")" ] || printf '%s leads elsewhere\n' "${sum#*:}"
        else
            printf '%s\n' "$line" >&3 || full
            [ ! -r "$path" ] || continue
            chmod u+r "$path" || flaw
            arg=${arg#*:}
            printf '99999 %s 0%s %s\n' "${line%% *}" "${arg%%:*}" "${line#* * }" >> "$B/modes"
        fi
    done
}
# Prints "SHA256  PATH" for the items on stdin. For odd names sha256sums differ
# in what they print, so these go in on stdin, and =PATH comes out encoded.
digest() {
    while take; do
        case $arg in
        *\\01[25]*|*\\134*) h=$(sha256sum < "$path") && printf '%s =%s\n' "${h%% *}" "${arg#*:*:*:}" ;;
        *) printf '%s\000' "$path" >&4 ;;
        esac
    done 4> "$B/names"
    [ ! -s "$B/names" ] || xargs -0 sha256sum < "$B/names"
}

recover() {
    say "recovering $name"
    for f in gone dirs renew use aside twisted avoid sealed doubt look owners times modes read; do : > "$B/$f"; done
    in_dest links > "$B/links"
    run -v had="$T/had" "$AWK$SIFT" "$B/links" "$T/marked" pass=1 "$B/lines" pass=2 "$B/lines"

    # Steps 1 and 2 of RECOVER.txt.
    in_dest ready < "$B/dirs"
    in_dest each remove < "$B/gone"
    in_dest renew < "$B/renew"
    cat "$T/had" >> "$T/marked" 2>/dev/null
    in_dest aside < "$B/aside"
    case $untar in *no-same*) in_dest each make < "$B/dirs" ;; esac

    # Step 3. A block with a line below a symlink of its own band is a forgery.
    awk 'FILENAME ~ /twisted$/ { twisted[$1]; next } !($1 in twisted)' "$B/twisted" "$B/plan" > "$B/todo"
    awk '$2 != "good" { print $1 }' "$B/todo" > "$B/doubt"
    all= exact= hurt=
    if ! grep -q '^[0-9]* bad' "$B/todo"; then
        [ ! -s "$B/todo" ] || stream < "$B/todo" | extract || all=1
    fi
    if [ -e "$B/torn" ] || grep -q '^[0-9]* bad' "$B/todo"; then
        say "block by block"
        all=
        while read -r n state objects; do
            in_dest ready < "$B/dirs"
            [ -n "$objects" ] && echo "$n $state $objects" | stream | extract && [ ! -e "$B/torn" ] && continue
            tell "block $n of $name did not come out whole"
            echo "$n" >> "$B/doubt"
        done < "$B/todo"
        hurt=1
    elif [ $kind = gnu ] && [ -z "$all" ]; then
        exact=1         # GNU tar has set the times of directories after all else
    fi
    [ $kind != other ] || all=1
    if [ $kind = gnu ] && [ -z "$root" ] && [ -s "$B/sealed" ]; then
        say "once more, without xattrs: read-only files that GNU tar writes only so"
        while take; do printf '%s\000' "$path"; done < "$B/sealed" > "$B/names"
        stream < "$B/todo" | extract --no-xattrs --null -T "$B/names" || all=1
    fi
    in_dest back < "$B/aside"
    in_dest ready < "$B/dirs"

    # What is missing now, or has other content than the index says?
    [ ! -s "$T/wrong" ] || hurt=1
    in_dest links > "$B/links"
    run -v all="$all" -v hurt="$hurt" -v exact="$exact" -v bare="$bare" -v nanoseconds="$nanoseconds" \
        -v me="$(id -u):$(id -g)" -v foreign_file="$T/foreign" "$AWK$SET" "$B/links" "$B/doubt" "$B/use"
    run "$AWK$STILL" "$B/use" "$B/lines" "$T/wrong" > "$T/still"
    in_dest look < "$B/look" 3> "$B/read" >> "$T/still"
    if [ -s "$B/read" ]; then
        say "reading its files for their sha256"
        sed 's/^. [^:]*:[^:]*:\([^:]*\):\([^ ]*\) .*/\2 \1/' "$B/read" > "$B/sums"
        in_dest digest < "$B/read" |
            run "$AWK"'{ print $2 ~ /^=/ ? substr($2, 2) : enc(substr($0, 67)), $1 }' >> "$B/sums"
        sort "$B/sums" | uniq -u | sed 's/ .*/ does not have the content that the index lists/' | sort -u >> "$T/still"
    fi
    mv "$T/still" "$T/wrong" || full

    # Steps 4 and 5. Modes come last, deepest first, to keep the way open.
    sort "$B/owners" | in_dest batch chown -h
    [ -z "$touch" ] || sort "$B/times" | in_dest batch $touch
    sort -rn "$B/modes" | sed 's/^[0-9]* //' | in_dest batch chmod
    rm -rf "$B"
}

[ -n "$touch" ] || tell "this touch takes no seconds: times of directories are not recovered"
bands verify
bands unlock
bands read_indexes
mkdir -p "$dest" && dest=$(cd -P "$dest" && pwd -P && echo .) || die "cannot make $1"
dest=${dest%??}         # the dot keeps a newline that ends the name
: > "$T/wrong"; : > "$T/marked"; : > "$T/had"
bands recover

sort -u "$T/wrong" | while read -r path what; do tell "$path: $what"; done
[ ! -e "$T/foreign" ] || say "owners are not recovered: only root can do that"
[ $kind != other ] || say "this tar keeps times to the second; with GNU tar or bsdtar they are exact"
[ -z "$unfinished" ] || say "$unfinished"
[ ! -e "$T/flaw" ] || exit 1
say "done"
