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
# band used them. From the environment it takes
#     TAR     the tar to use, such as bsdtar or 'busybox tar' (default: tar)
#     GPG     the gpg to use, with options (default: gpg)
#     TMPDIR  where a plain copy of the indexes is kept meanwhile
# Exit status: 0 all is exact, 1 something was told, 2 nothing was done.

set -u
locale=${LC_ALL-${LANG-C}}
LC_ALL=C; export LC_ALL
unset CDPATH TAR_OPTIONS GZIP ZSTD_CLEVEL POSIXLY_CORRECT
IFS=' 	
'
: "${TAR:=tar}" "${GPG:=gpg}"

say() { printf 'recover.sh: %s\n' "$*" >&2; }
die() { say "$@"; say 'nothing was done'; exit 2; }

force=
[ "${1-}" = -f ] && { force=1; shift; }
[ "${1-}" = -- ] && shift
[ $# -eq 1 ] && [ -n "$1" ] || die "usage: sh recover.sh [-f] DEST"
case $1 in /*) dest=$1 ;; *) dest=./$1 ;; esac
for tool in ${TAR%% *} awk chmod find gzip mktemp sed sha256sum sort touch xargs; do
    command -v "$tool" >/dev/null || die "it needs $tool"
done
if [ -e "$dest" ] || [ -h "$dest" ]; then
    [ -d "$dest" ] || die "$1 is not a directory"
    [ -n "$force" ] || [ -z "$(ls -A "$dest")" ] ||
        die "$1 is not empty; -f recovers over what is there"
fi

# mktemp -d makes it 0700, so the decrypted lists in it are nobody else's.
T=$(mktemp -d) || exit 2
case $T in /*) ;; *) T=$PWD/$T ;; esac
trap 'rm -rf "$T"' EXIT
trap 'exit 2' HUP INT TERM
tell() { say "$@"; : > "$T/told"; }

if tty=$(tty 2>/dev/null); then GPG_TTY=${GPG_TTY-$tty}; export GPG_TTY; fi
root=; [ "$(id -u)" -eq 0 ] && root=1
: > "$T/probe"
fine=; touch -h -d @-0.25 "$T/probe" 2>/dev/null && fine=1      # nanoseconds
touch='touch -h'; touch -h -d @1 "$T/probe" 2>/dev/null || touch=touch

case $($TAR --version 2>/dev/null) in
*GNU*)
    tar=gnu bare=
    untar="$TAR --numeric-owner --delay-directory-restore"
    for o in --xattrs --xattrs-include=* --acls --warning=no-unknown-keyword --warning=no-timestamp; do
        dd if=/dev/zero bs=1024 count=1 2>/dev/null | $TAR -t "$o" -f - >/dev/null 2>&1 && untar="$untar $o" ||
            case $o in *acls|--xattrs) bare=1 ;; esac
    done
    untar="$untar -xpf -" ;;
*bsdtar*)
    tar=bsd bare=
    untar="env LC_ALL=C.UTF-8 $TAR --numeric-owner -xpf -" ;;
*)  # Knows neither xattrs nor sparse files, and stops at a read-only
    # directory unless it may leave the modes of directories alone.
    tar=other bare=1
    untar="$TAR -xpf -"
    [ -n "$root" ] || untar="$TAR --no-same-permissions -xf -" ;;
esac

# What the awk programs below share. An encoded path is one that enc() would
# write just so: then no two spellings mean one file, and `..` cannot hide.
AWK='
BEGIN {
    for (i = 1; i < 256; i++) {
        char = sprintf("%c", i); code = sprintf("\\%03o", i); byte[code] = char
        if (char !~ /[!-~]/ || index("\\#=*?[", char)) octal[char] = code
    }
}
function enc(s,   r, i, c) {
    if (s !~ /[^!-~]|[\\#=*?[]/) return s
    r = ""
    for (i = 1; i <= length(s); i++) { c = substr(s, i, 1); r = r ((c in octal) ? octal[c] : c) }
    return r
}
function dec(s,   r, i) {
    if (!index(s, "\\")) return s
    r = ""
    while ((i = index(s, "\\"))) { r = r substr(s, 1, i - 1) byte[substr(s, i, 4)]; s = substr(s, i + 4) }
    return r s
}
function safe(p,   d) {
    if (p == ".") return 1
    d = dec(p)
    return p ~ /^\.\/./ && enc(d) == p && (d "/") !~ /\/\.?\.?\//
}
# A line of a list for take(): raw where the path fits on one line.
function item(arg, p) {
    if (!index(p, "\\012")) return "r " arg " " dec(p)
    gsub(/\\/, "\\0", p); return "e " arg " " p
}
# Names from find, each closed by "//", which no path holds.
function named() {
    held = held $0
    if (held !~ /\/\/$/) { held = held "\n"; return 0 }
    path = enc(substr(held, 1, length(held) - 2)); held = ""; return 1
}
# (A slash within brackets: awks differ over it, unless in a string.)
function up(p) { sub("/[^/]*$", "", p); return p }
# The topmost symlink that p lies below, if any.
function under(p,   i, d, s) {
    for (i = 3; (d = index(substr(p, i), "/")); i += d)
        if ((s = substr(p, 1, i + d - 2)) in link) return s
    return ""
}
function pad(n) { sub(/^0+/, "", n); while (length(n) < 9) n = "0" n; return n }
function told(s) { print "recover.sh: " s | "cat >&2"; print > told_file }
'
run_awk() {
    awk -v told_file="$T/told" -v out="$B" -v tar="$tar" -v root="$root" -v fine="$fine" "$@" ||
    { say "awk failed, or $T is full"; kill $$; }; }

# take: the next item of a list on stdin, into $arg and $path.
take() {
    IFS= read -r line || return 1
    path=${line#* }; arg=${path%% *}; path=${path#* }
    case $line in e*) path=$(printf '%b.' "$path"); path=${path%.} ;; esac
}
# batch COMMAND: run "COMMAND ARG PATH..." for the items on stdin, neighbours
# with the same ARG together. What is missing is told elsewhere.
batch() {
    do=$*; was=; set --
    while take; do
        [ -e "$path" ] || [ -h "$path" ] || continue
        if [ "$arg" != "$was" ] || [ $# -ge 100 ]; then
            [ $# -eq 0 ] || $do "$was" "$@" || : > "$T/told"
            set --; was=$arg
        fi
        set -- "$@" "$path"
    done
    [ $# -eq 0 ] || $do "$was" "$@" || : > "$T/told"
}

key() { sed -n "s/^$1: *//p" "$2" 2>/dev/null | head -n 1; }
plain() { case $1 in *.gpg) $GPG -q -d "$1" </dev/null ;; *) cat "$1" ;; esac; }

# --- The chain, from this band leftwards: "TIER DIR NAME ID START HOW" ------
# START is the last index that counts ("max": the highest that is there). HOW
# is "strict" where a gap ends what counts, and "lost" where it only costs
# what is missing.
numbers() { ls "$1" 2>/dev/null | grep -q '^[0-9][0-9]*$'; }

[ -s HEAD ] || numbers . || die "this is no band folder: it has no HEAD; cd to the band first"
case $(cd "$dest" 2>/dev/null || cd "$(dirname "$dest")" 2>/dev/null && pwd -P)/ in "$(pwd -P)"/*) die "$1 lies in the band's folder" ;; esac
dir=. name=$(key band HEAD); : "${name:=$(basename "$(pwd -P)")}"
id=$(key id TAIL) start= unfinished= chain=
while :; do
    found=$(key dura-band "$dir/HEAD") parent= parent_id= parent_last=
    if [ -n "$found" ]; then
        [ "$found" = 1 ] || die "$name is in format $found, this script knows format 1: take the recover.sh of a newer Dura"
        if [ "$(key band "$dir/HEAD")" != "$name" ] ||
            { [ $dir != . ] && [ -n "$id" ] && [ "$(key id "$dir/HEAD")" != "$id" ]; }; then
            die "../$name is another band than the one that the next builds on"
        fi
        id=$(key id "$dir/HEAD")
        parent=$(key parent "$dir/HEAD") parent_id=$(key parent-id "$dir/HEAD") parent_last=$(key parent-last "$dir/HEAD")
    elif numbers "$dir"; then
        tell "$name has lost its HEAD; its name shows the parent"
    else
        [ -n "$force" ] || die "the band $name is missing; -f recovers what the others hold"
        tell "the band $name is missing"
    fi
    : "${parent:=${name%-*}}"; [ "$parent" = "$name" ] && parent=-

    state=complete how=lost
    if [ ! -s "$dir/TAIL" ]; then
        state=unfinished
        if [ $dir = . ]; then
            unfinished="UNFINISHED: $name has no TAIL; only what its indexes list is recovered"
            say "$unfinished"; : > "$T/told"
        fi
    elif [ "$(sed '/^sha256:/,$d' "$dir/TAIL" | sha256sum | sed 's/ .*//')" != "$(key sha256 "$dir/TAIL")" ]; then
        tell "the TAIL of $name is damaged"
    elif [ "$(key id "$dir/TAIL")" != "$id" ] && [ -n "$id" ]; then
        tell "the TAIL of $name belongs to another band"
    else
        : "${start:=$(key last "$dir/TAIL")}"
    fi
    case $start in
    -) ;;
    *[!0-9]*|'') start=max; [ $state = complete ] || how=strict ;;
    esac
    case $id in *[!0-9a-f]*|'') id=- ;; esac
    case $name in *[!0-9TZ-]*|'') die "$name is no name of a band" ;; esac
    chain="$dir $name $id $start $how $state
$chain"
    [ "$parent" != - ] || break
    case $name in "$parent"-*) ;; *) die "the HEAD of $name names a parent that it cannot have: $parent" ;; esac
    dir=../$parent name=$parent id=$parent_id start=$parent_last
done

# --- What is damaged, and what counts ---------------------------------------
say "the chain, in the order in which it is recovered:"
k=0
printf '%s' "$chain" > "$T/chain"
while read -r dir name id start how state; do
    say "  $name (tier $k, $state)"
    B=$T/$k; k=$((k + 1))
    mkdir "$B"
    (cd -P "$dir" 2>/dev/null && for o in [0-9]*/[0-9]*.*; do [ -s "$o" ] && printf '%s\n' "$o"; done) |
        grep '^[0-9]*/[0-9]*\.[0-9a-z.]*$' > "$B/objects"

    # Every object that a checksum list names. Names are made of letters,
    # digits, dots, dashes and slashes; no other ever gets near a command.
    (cd -P "$dir" 2>/dev/null && for l in [0-9]*/*.sha256; do [ -s "$l" ] && cat "$l"; done) |
        awk '/^#/ || length($1) != 64 { next }
            $2 ~ "^[0-9A-Za-z][0-9A-Za-z./-]*$" && $2 !~ /\.\./ { print $1, $2 }' > "$B/listed"
    (cd -P "$dir" 2>/dev/null && sed 's/^[^ ]* //' "$B/listed" |
        while read -r o; do [ -s "$o" ] && printf '%s\n' "$o"; done |
        xargs sha256sum /dev/null) > "$B/sums"
    awk 'NR == FNR { sum[$2] = $1; next }
        !($2 in sum) { print $2, "missing"; next }
        sum[$2] != $1 { print $2, "damaged" }' "$B/sums" "$B/listed" > "$B/bad"
    while read -r o what; do tell "$what: $name/$o"; done < "$B/bad"
    if [ -s "$B/bad" ] && grep -q '\.rs[0-9]*$' "$B/listed"; then
        say "  the lists' parity may rebuild them: python3 rsrepair.py LIST.sha256 in $name"
    fi
done < "$T/chain"

# With no secret key at hand, say so before anything is begun.
k=0
while read -r dir name rest; do
    B=$T/$k; k=$((k + 1))
    awk -v dir="$dir" 'FILENAME ~ /bad$/ { bad[$1]; next } /\.gpg$/ { b = $0 in bad; print b, dir "/" $0 }' "$B/bad" "$B/objects"
done < "$T/chain" | sort -s -k1,1 | sed 's/^. //;3q' > "$T/locked"
if [ -s "$T/locked" ]; then
    command -v "${GPG%% *}" >/dev/null || die "the archive is encrypted: it needs gpg"
    while read -r o; do
        $GPG --status-fd 1 -d "$o" 2> "$T/gpg" </dev/null | grep -q '^\[GNUPG:\] DECRYPTION_INFO' && break
    done < "$T/locked" || {
        cat "$T/gpg" >&2
        die "gpg cannot decrypt: it needs the secret key (gpg --import) or the passphrase"
    }
fi

# Reads the text of index N. Lines become "PATH TYPE KIND MODE OWNER TIME SHA
# FLAGS N" (SHA: of a symlink its target) with KIND one of s (stored), o (stored, and over), i (content in an
# older band), d (deleted). Prints the number of the index before it.
READ='
function field(s) { return s == "" ? "-" : s }
NR == 1 && !/^#(mtree|index)/ { exit }
/^#index / && !known {
    if ((id == "-" || $2 == id) && pad($3) == n && $4 == "after" && ($5 == "-" || $5 + 0 < n + 0)) {
        known = 1; after = $5 == "-" ? "-" : pad($5) }
}
/^#/ || NF == 0 { next }
!known { exit }
{
    split("", v); kind = "s"; flags = "-"
    for (i = 2; i <= NF; i++) if ((e = index($i, "="))) v[substr($i, 1, e - 1)] = substr($i, e + 1)
    m = split(v["tags"], tag, ",")
    for (i = 1; i <= m; i++) {
        if (tag[i] == "deleted") kind = "d"
        else if (tag[i] == "over") kind = "o"
        else if (tag[i] ~ /^in:/) kind = "i"
        else if (tag[i] ~ /^hard:/) flags = flags "h"
        else if (tag[i] == "x") flags = flags "x"
        else if (tag[i] == "excluded" || tag[i] == "unreadable") next
    }
    if (!safe($1) || ($1 == "." && (v["type"] != "dir" || kind != "s")) || v["type"] == "") told($1 ": not a path that can be recovered; skipped")
    else print $1, v["type"], kind, field(v["mode"]), field(v["uid"]) ":" field(v["gid"]), field(v["time"]), field(v["sha256digest"] v["link"]), flags, n > lines
}
END { print after }'

# From the table of "N AFTER": what counts, as "N counted" or "N lost".
WALK='
{ after[$1] = $2; n[NR] = $1 }
function reaches(i) { for (; i != "-"; i = after[i]) if (!(i in after)) return 0; return 1 }
END {
    if (start == "max") for (i = NR; i > 0; i--) if (how != "strict" || reaches(n[i])) { at = n[i]; break }
    if (start != "max" && start != "-") at = pad(start)
    top = NR
    while (at != "" && at != "-") {
        while (top > 0 && n[top] + 0 >= at + 0) top--
        print at, (at in after) ? "counted" : "lost"
        at = (at in after) ? after[at] : n[top]
    }
}'

say "reading the indexes"
k=0
while read -r dir name id start how state; do
    B=$T/$k; k=$((k + 1))
    run_awk "$AWK"'/\.mtree\.gz(\.gpg)?$/ { n = $0; sub(/.*\//, "", n); sub(/\..*/, "", n); print pad(n), $0 }' "$B/objects" |
        sort -n > "$B/indexes"
    : > "$B/table"
    while read -r n o; do
        rm -f "$T/torn"
        { plain "$dir/$o" || : > "$T/torn"; } | gzip -dc > "$T/text" || : > "$T/torn"
        after=$(run_awk -v id="$id" -v n="$n" -v lines="$B/lines.$n" "$AWK$READ" "$T/text")
        [ -z "$after" ] || echo "$n $after" >> "$B/table"
        # A wrong line in a torn index might remove the wrong thing.
        [ ! -e "$T/torn" ] || { rm -f "$B/lines.$n"; : > "$B/torn.$n"; }
    done < "$B/indexes"
    run_awk -v start="$start" -v how="$how" "$AWK$WALK" "$B/table" | sort -n > "$B/counts"
    : > "$B/lines"
    while read -r n what; do
        if [ "$what" = lost ]; then tell "index $n of $name is lost; its block is recovered, but what it held cannot be checked"
        elif [ -e "$B/torn.$n" ]; then tell "index $n of $name is damaged; its block is recovered, but what it held cannot be checked"
        else cat "$B/lines.$n" 2>/dev/null >> "$B/lines"; rm -f "$B/lines.$n"
        fi
    done < "$B/counts"
    rm -f "$B"/lines.[0-9]*
    out=$(awk 'FILENAME ~ /counts$/ { in_[$1]; next } !($1 in in_) { print $1 }' "$B/counts" "$B/indexes" | tr '\n' ' ')
    [ -z "$out" ] || say "  left out of $name, as superseded or beyond a gap: $out"

    # The plan: "N STATE OBJECT..." for each block of a counted index. STATE
    # is bad, or unlisted where no checksum list speaks for it, or good.
    run_awk "$AWK"'
        function number(o) { sub(/.*\//, "", o); sub(/\..*/, "", o); return pad(o) }
        FILENAME ~ /lines$/ { if ($3 == "s" || $3 == "o") full[$9]; next }
        FILENAME ~ /bad$/ { if ($1 ~ /\.tar/) bad[number($1)]; next }
        FILENAME ~ /listed$/ { listed[$2]; next }
        FILENAME ~ /objects$/ {
            if ($0 !~ /\.tar(\.gz|\.zst)?(\.[0-9]+)?(\.gpg)?$/) next
            n = number($0); part = "-"
            if (match($0, /\.[0-9]+(\.gpg)?$/)) part = substr($0, RSTART + 1) + 0
            if (part == "-") whole[n] = $0; else { piece[n, part] = $0; if (part + 1 > parts[n]) parts[n] = part + 1 }
            next
        }
        {
            n = $1; state = n in bad ? "bad" : "good"; all = ""
            if (n in whole) all = " " whole[n]
            else for (i = 0; i < parts[n]; i++) {
                if (!((n, i) in piece)) { told("part " i " of block " n " of " name " is missing"); state = "bad"; break }
                all = all " " piece[n, i]
            }
            m = split(all, o)
            for (i = 1; i <= m; i++) if (!(o[i] in listed) && state == "good") state = "unlisted"
            if (m) print n, state all
            else if (n in full) { told("block " n " of " name " is missing"); print n, "bad" }
        }' name="$name" "$B/lines" "$B/bad" "$B/listed" "$B/objects" "$B/counts" > "$B/plan"
    if grep -q '\.zst' "$B/plan"; then command -v zstd >/dev/null || die "$name is compressed with zstd: it needs zstd"; fi
done < "$T/chain"

# --- Recovery, band by band --------------------------------------------------
# Sorts the lines of a band before the extraction (names: the symlinks found):
# told are those below a symlink; the rest goes to `use` and the lists.
SIFT='
function drop(why) { told($1 ": " why "; skipped") }
FILENAME ~ /links$/ { if (named()) link[path]; next }
pass == 1 {
    if ($3 != "d" && $3 != "o") next
    if ($1 == "." || under($1) != "") { if ($3 == "d") drop("below a symlink"); next }
    gone[$1]; print item("-", $1) > (out "/gone"); next
}
FNR == 1 {      # the symlinks that will be there still after the removal
    for (p in link) for (q = p; q ~ /\//; q = up(q)) if (q in gone) { delete link[p]; break }
}
$3 == "d" { next }
(s = under($1)) != "" {
    drop("below the symlink " s)
    if (s in here) twisted[$9]; else aside[s]
    next
}
$2 == "dir" && $1 in link { drop("a symlink is there"); aside[$1]; next }
$2 == "link" && $3 == "s" { link[$1]; here[$1] }
$2 == "dir" { print item("-", $1) > (out "/dirs") }
$2 == "file" && $3 != "i" && $8 ~ /x/ && $4 ~ /^0*[0-7]?[0145]..$/ { print item("-", $1) > (out "/sealed") }
{ print > (out "/use") }
END {
    for (s in aside) print item("-", s) > (out "/aside")
    for (n in twisted) print n > (out "/twisted")
    for (s in link) if (!(s in here) && !(s in aside) && s !~ /\\012/) print dec(s) > (out "/avoid")
}'
# After it (names: the symlinks found): the lists of what to look at and to set.
SET='
FILENAME ~ /links$/ { if (named()) link[path]; next }
FILENAME ~ /doubt$/ { doubt[$1]; next }
under($1) != "" || ($2 != "link" && $1 in link) { told($1 ": a symlink is in the way; skipped"); next }
{
    # Every file of a doubtful block is read, and every hard link: the name
    # that it was to be linked to may be an older file.
    sum = all || $9 in doubt || (some && $8 ~ /h/) ? $7 : "-"
    if ($2 == "link") { gsub(/\\/, "\\0", sum); gsub(/:/, "\\0072", sum) }
    print item($2 ":" $4 ":" sum ":" $1, $1) > (out "/look")
    if ($8 ~ /x/ && $3 != "i") attributes++
    if (!root && $5 != me) foreign = 1
}
# What a damaged block held, or this tar may get wrong, is set like an in: entry: bsdtar takes -0.25 s
# for 0.25 and clears setuid; busybox knows no 10-digit ids, no time before
# 1970, no owners of symlinks.
$9 in doubt { $3 = "i" }
tar != "gnu" && ($6 ~ /^-/ || $4 ~ /^0[1-7]...$/) { $3 = "i" }
tar == "other" && ($2 == "link" || $5 ~ /[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]/) { $3 = "i" }
$2 == "dir" || $3 == "i" {
    if (root) print item($5, $1) > (out "/owners")
    split($6, t, "."); s = t[1]
    if (fine) {
        if (s < 0 && t[2] > 0) { s = "-" (-s - 1); t[2] = sprintf("%09d", 1000000000 - t[2]) }
        s = s "." t[2]
    }
    if (!kept || $3 == "i") print item("@" s, $1) > (out "/times")
    if ($2 == "link") next
    # Five digits: with fewer, GNU chmod keeps a setgid bit that is there.
    d = $1; print gsub(/\//, "/", d), item("0" $4, $1) > (out "/modes")
}
END {
    if (attributes && bare) told(attributes " entries have extended attributes or ACLs, which this tar leaves out")
    if (foreign) print > foreign_file
}'

# 1: the listed directories that exist become ours to work in.
prepare() {
    while take; do
        if [ -h "$path" ] || [ ! -d "$path" ]; then continue; fi
        [ -r "$path" ] && [ -w "$path" ] && [ -x "$path" ] || chmod u+rwx "$path" || : > "$T/told"
    done
}
# 2: what the band removes goes, with all below it.
remove() {
    rm -rf "$@" 2>/dev/null && return
    find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \;
    rm -rf "$@" || : > "$T/told"
}
# each COMMAND: run "COMMAND PATH..." for the items on stdin.
each() {
    do=$1; set --
    while take; do
        set -- "$@" "$path"
        [ $# -lt 100 ] || { $do "$@"; set --; }
    done
    [ $# -eq 0 ] || $do "$@"
}
make() { mkdir -m 700 "$@" 2>/dev/null; }       # or they are there
# 3: the blocks that the plan on stdin names, as one tar stream.
stream() {
    while read -r n state objects; do
        case $objects in *.tar.gz*) decode='gzip -dc' ;; *.tar.zst*) decode='zstd -dcq' ;; *) decode=cat ;; esac
        for o in $objects; do plain "$dir/$o" || : > "$B/failed"; done | $decode || : > "$B/failed"
        [ ! -e "$B/failed" ] || break
    done
}
extract() {
    set -- -C "$dest" "$@"
    [ $tar != gnu ] || [ ! -s "$B/avoid" ] || set -- --anchored --no-wildcards -X "$B/avoid" "$@"
    # --no-same-permissions takes the umask into account.
    (case $untar in *no-same*) umask 0 ;; esac; exec $untar "$@") 2> "$T/err"
    code=$?
    [ ! -s "$T/err" ] || { cat "$T/err" >&2; : > "$T/told"; }
    return $code
}
# Symlinks that lines lie below stand aside, so no tar can follow them.
aside() { i=0; while take; do i=$((i + 1)); mv "$path" ".recover.$$.$i"; done; }
back() { i=0; while take; do i=$((i + 1)); remove "$path"; mv ".recover.$$.$i" "$path"; done; }
links() { find . -type l -exec printf '%s//\n' {} + 2>/dev/null; }

# Prints "PATH is missing" for what is not there. What is to be read goes to
# the list on 3, opened to us where need be, with its mode to be set later.
look() {
    while take; do
        sum=${arg#*:*:}
        case $arg in file:*) is=-f ;; dir:*) is=-d ;; link:*) is=-h ;; fifo:*) is=-p ;; char:*) is=-c ;; *) is=-b ;; esac
        if [ ! $is "$path" ] || { [ $is != -h ] && [ -h "$path" ]; }; then
            printf '%s is missing\n' "${sum#*:}"
            continue
        fi
        case $arg:$sum in
        *:-:*) continue ;;
        link:*)
            target=$(printf '%b.' "${sum%%:*}"; printf x)
            [ "$(readlink "$path"; printf .x)" = "${target%.x}$nl.x" ] || printf '%s leads elsewhere\n' "${sum#*:}"
            continue ;;
        esac
        printf '%s\n' "$line" >&3
        [ -r "$path" ] || {
            chmod u+r "$path" || : > "$T/told"
            arg=${arg#*:}
            printf '99999 %s 0%s %s\n' "${line%% *}" "${arg%%:*}" "${line#* * }" >> "$B/modes"
        }
    done
}
# Prints "SHA256  NAME" for the files of a list. sha256sum writes odd names in
# one of two ways, so they go in on stdin, and their encoded names come out.
digests() {
    while take; do
        case $line in
        e*|*\\*\ *|*"$cr"*) h=$(sha256sum < "$path") && printf '%s =%s\n' "${h%% *}" "${arg#*:*:*:}" ;;
        *) printf '%s\000' "$path" >&4 ;;
        esac
    done 4> "$B/names"
    [ ! -s "$B/names" ] || xargs -0 sha256sum < "$B/names"
}
cr=$(printf '\r') nl='
'

mkdir -p "$dest" || die "cannot make $1"
: > "$T/wrong"
k=0
while read -r dir name rest; do
    say "recovering $name"
    B=$T/$k; k=$((k + 1))
    for f in gone dirs use aside twisted avoid sealed look owners times modes read; do : > "$B/$f"; done
    (cd "$dest" && links) > "$B/links"
    run_awk "$AWK$SIFT" "$B/links" pass=1 "$B/lines" pass=2 "$B/lines"
    (cd "$dest" && prepare < "$B/dirs" && each remove < "$B/gone" && aside < "$B/aside"
        case $untar in *no-same*) each make < "$B/dirs" ;; esac)

    awk 'FILENAME ~ /twisted$/ { out[$1]; next } !($1 in out)' "$B/twisted" "$B/plan" > "$B/todo"
    all= bad= kept=
    [ $tar != other ] || all=1
    awk '$2 != "good" { print $1 }' "$B/todo" > "$B/doubt"
    grep -q '^[0-9]* bad' "$B/todo" && bad=1
    if [ -z "$bad" ]; then
        [ ! -s "$B/todo" ] || stream < "$B/todo" | extract || all=1
        [ ! -e "$B/failed" ] || bad=1
        # All is well, and GNU tar sets the times of directories last.
        [ $tar != gnu ] || [ -n "$all$bad" ] || kept=1
    fi
    if [ -n "$bad" ]; then
        say "  block by block"
        all=
        while read -r n state objects; do
            rm -f "$B/failed"
            (cd "$dest" && prepare < "$B/dirs")
            [ -z "$objects" ] || echo "$n $state $objects" | stream | extract || : > "$B/failed"
            if [ -e "$B/failed" ]; then
                tell "block $n of $name is damaged"
                echo "$n" >> "$B/doubt"
            fi
        done < "$B/todo"
    fi
    # As an ordinary user GNU tar cannot write a read-only file with xattrs.
    if [ $tar = gnu ] && [ -z "$root" ] && [ -s "$B/sealed" ]; then
        while take; do printf '%s\000' "$path"; done < "$B/sealed" > "$B/names"
        say "  again, without their xattrs, the read-only files that have some"
        stream < "$B/todo" | extract --no-xattrs --null -T "$B/names" || all=1
    fi
    (cd "$dest" && back < "$B/aside" && prepare < "$B/dirs" && links) > "$B/links"

    run_awk -v all="$all" -v some="$bad" -v kept="$kept" -v me="$(id -u):$(id -g)" -v bare="$bare" -v foreign_file="$T/foreign" \
        "$AWK$SET" "$B/links" "$B/doubt" "$B/use"
    # What was wrong in older bands is forgotten where this one replaces it.
    run_awk "$AWK"'
        FILENAME ~ /use$/ { if ($3 != "i") new[$1]; next }
        FILENAME ~ /lines$/ { if ($3 == "d" || $3 == "o") gone[$1]; next }
        { for (p = $1; p ~ /\//; p = up(p)) if (p in gone) next }
        !($1 in new)' "$B/use" "$B/lines" "$T/wrong" > "$T/still"
    (cd "$dest" && look < "$B/look") 3> "$B/read" >> "$T/still"
    if [ -s "$B/read" ]; then
        say "  reading its files for their sha256"
        sed 's/^. [^:]*:[^:]*:\([^:]*\):\([^ ]*\) .*/\2 \1/' "$B/read" > "$B/sums"
        (cd "$dest" && digests < "$B/read") |
            run_awk "$AWK"'{ print $2 ~ /^=/ ? substr($2, 2) : enc(substr($0, 67)), $1 }' >> "$B/sums"
        sort "$B/sums" | uniq -u | sed 's/ .*/ does not have the content that the index lists/' | sort -u >> "$T/still"
    fi
    mv "$T/still" "$T/wrong"

    # 4 and 5. The modes come last and deepest first, to keep the way open.
    (
        cd "$dest" || exit
        sort "$B/owners" | batch chown -h
        sort "$B/times" | batch $touch -d
        sort -rn "$B/modes" | sed 's/^[0-9]* //' | batch chmod
    )
    rm -rf "$B"
done < "$T/chain"

sort -u "$T/wrong" | while read -r path what; do tell "$path: $what"; done
[ ! -e "$T/foreign" ] || say "owners are not recovered: only root can do that"
[ $tar != other ] || say "this tar keeps times to the second; with GNU tar or bsdtar they are exact"
[ -z "$unfinished" ] || say "$unfinished"
[ ! -e "$T/told" ] || exit 1
say "done"
