#!/bin/sh
# recover.sh: recover one version from a Dura archive without any Dura program.
#
#     cd ARCHIVE/BAND && sh recover.sh [OPTION]... DEST [PATH]...
#     cd ARCHIVE/BAND && sh recover.sh [OPTION]... -l [WORD]
#
# lays this band over its ancestors (the folders beside it) in the directory
# DEST, which it makes; or of that only each PATH (./Documents, or a file), with
# all below it. What else is in DEST stays as it is. RECOVER.txt tells how to do
# the same by hand.
#     -l      lists the version's paths, or those with WORD in them; a PATH may be
#             written as this does, with \040 for a blank, or be absolute, below
#             the directory that was backed up
#     -f      goes on although DEST is not empty (what the version has replaces
#             what is there), or although a band of the chain is missing
#     -p      takes objects that are not encrypted in a band that is
#     -c      reads every file again, for its sha256, and sets all modes and owners:
#             for an archive that somebody may have forged
#     --signed-by KEY  takes only objects in lists with a good signature by KEY, or
#             by any if it is given several times (run a copy of this script that
#             you trust, not the archive's)
#
# Needs a POSIX shell and tools, tar, gzip, sha256sum; gpg and zstd where the
# bands used them; for files of which only what changed is stored python3 and
# rdpatch.py, which lies beside this script, or rdiff. From the environment it takes
#     TAR     the tar to use, such as bsdtar or 'busybox tar' (default: tar)
#     GPG     the gpg to use, with options (default: gpg)
#     TMPDIR  where a plain copy of the indexes is kept meanwhile
#     DURA_PASSPHRASE_FILE  a file whose first line is the passphrase
# Exit status: 0 all is exact, 1 something was told, 2 nothing was done, or it
# had to stop.

# WHAT IS WHERE, from top to bottom; a letter is the section of RECOVER.txt that
# has the same for the hand.
#   say die tell abort     messages; tell also makes the exit status 1
#   full intact            whether $T has taken all that was written to it
#   takes                  what this tar can do: $kind, $untar, $bare
#   AWK run                the awk that all awk programs share; run runs one
#   take each batch        lists of paths: one item; a command for many items
#   key sound signed       HEAD and TAIL, and their signatures (D)
#   bands                  runs a function for each band, from the left
#   survey                 the objects that a band has; what is not of it
#   open unseal plain      decrypts an object; GOOD judges what gpg says of it
#   unlock                 the keys of a band's runs, before all else (3)
#   verify progress        the checksums of a band's objects (D)
#   READ WALK PLAN NARROW  the lines of an index; which indexes count (C); which
#   read_indexes             blocks are wanted; of which paths (E)
#   sought                 of a part also what it refers to
#   SIFT ready save remove renew aside back before the tar: B, 0 to 2
#   limit stream extract cut_off            the tar: A, and B, 3
#   lay patches            files of which what changed is stored: B, 0
#   sift_copies fill       content that lies under another path: B, 0 and 3b
#   SET look another digest                 after it: B, 4 and 5; sums, D
#   STILL version          what is amiss, and what is there, band upon band
#   recover                a band, by all of these
#   move left place        a part of a version goes to its place in DEST (E)
# Files in $T, which is removed at the end: chain (a line a band), want (paths
# asked for), version (paths there), wrong (what is amiss), before (what DEST
# had), flaw (there was something to tell), sought (want, and what that refers
# to). In $B, a band's own: objects, sizes, keys (key objects), listed and bad (of
# checksum lists), indexes, table (what READ prints), counts, lines (of the
# indexes), plan and deltas (blocks), and lists of paths for each step.

set -u
LC_ALL=C; export LC_ALL
unset CDPATH TAR_OPTIONS GZIP POSIXLY_CORRECT
IFS=' 	
'
: "${TAR:=tar}" "${GPG:=gpg}"

# What an archive holds never reaches the terminal as it is.
clean() { tr -c ' -~\n' '?'; }
say() { printf 'recover.sh: %s\n' "$*" | clean >&2; }
die() { say "$@"; say 'nothing was done'; exit 2; }
tell() { say "$@"; flaw; }
flaw() { : > "$T/flaw"; }
abort() { say "$@"; kill $$; exit 2; }          # from a subshell, too
full() { abort "cannot write to $T: is it full?"; }
# What could not be written to $T is still there to be missed: nothing is removed
# from it before this has been asked.
intact() { head -c 4096 /dev/zero > "$T/room" && rm "$T/room" || full; }

force= take_plain= every= signers= signer= list= word=
usage="usage: sh recover.sh [-fpc] [--signed-by KEY]... DEST [PATH]..., or sh recover.sh -l [WORD]; --help tells more"
while :; do
    case ${1-} in
    -f) force=1 ;;
    -p) take_plain=1 ;;
    -c) every=1 ;;
    -l) list=1 ;;
    --signed-by) [ -n "${2-}" ] || die "$usage"; signers="$signers$2
"; shift ;;
    --signed-by=?*) signers="$signers${1#*=}
" ;;
    -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --) shift; break ;;
    -?*) die "$1: unknown option; $usage" ;;
    *) break ;;
    esac
    shift
done
has() { command -v "$1" >/dev/null; }
if [ -n "$list" ]; then
    [ $# -le 1 ] || die "$usage"
    word=${1-}; set -- /
else
    [ $# -ge 1 ] && [ -n "$1" ] || die "$usage"
fi
case $1 in /*) dest=$1 ;; *) dest=./$1 ;; esac
# Started from elsewhere, it goes into the band that it lies in.
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
beside=$(cd -P "$here" && pwd -P)
if [ ! -e HEAD ] && [ ! -e TAIL ] && { [ -e "$here/HEAD" ] || [ -e "$here/TAIL" ]; }; then
    case $dest in /*) ;; *) dest=$(pwd -P)/$dest ;; esac
    cd "$here" || die "$here cannot be entered"
fi
for tool in ${TAR%% *} awk chmod cut find gzip head ls mktemp sed sha256sum sort touch tr xargs; do
    has "$tool" || die "it needs $tool"
done
if [ -n "$list" ]; then :
elif [ -e "$dest" ] || [ -h "$dest" ]; then
    [ -d "$dest" ] || die "$1 is not a directory"
    [ -n "$force" ] || [ $# -gt 1 ] || [ -z "$(ls -A "$dest")" ] || die "$1 is not empty; -f recovers over what is there"
fi
case $(cd -P "$dest" 2>/dev/null || cd -P "$(dirname "$dest")" 2>/dev/null && pwd -P)/ in
"$(pwd -P)"/*) die "$1 lies in the band's folder" ;;
esac
shown=$1; shift

# mktemp -d makes it 0700, so the decrypted lists in it are nobody else's.
T=$(mktemp -d) || exit 2
case $T in /*) ;; *) T=$PWD/$T ;; esac
trap 'rm -rf "$T"' EXIT
own=.recover.${T##*[./]}    # what lies in DEST meanwhile; nobody can guess it
trap 'exit 2' HUP INT TERM
intact

# What is wanted, if it is not all: paths as typed, but for `.` and slashes that mean nothing.
: > "$T/want"
for p; do
    case /$p/ in */../*) die "$p: not a path below the top: it is written ./a/b" ;; esac
    case $p in /*) at= ;; *) at=. ;; esac
    while :; do
        case $p in
        /*) p=${p#/} ;; ./*) p=${p#./} ;; */) p=${p%/} ;; */.) p=${p%/.} ;;
        *//*) p=${p%%//*}/${p#*//} ;; */./*) p=${p%%/./*}/${p#*/./} ;;
        *) break ;;
        esac
    done
    case $at$p in . | ..) die "for all of it, give no path" ;; esac
    printf '%s/%s//\n' "$at" "$p" >> "$T/want"
done

if [ -n "${DURA_PASSPHRASE_FILE-}" ]; then
    IFS= read -r phrase < "$DURA_PASSPHRASE_FILE" || [ -n "${phrase-}" ] || die "no passphrase in $DURA_PASSPHRASE_FILE"
fi
# What gpg 1.4 does not know. Under a run key no other key may open anything.
loopback='--pinentry-mode loopback' alone=--no-keyring
$GPG $loopback --version >/dev/null 2>&1 || loopback=
$GPG $alone --version >/dev/null 2>&1 || alone='--no-default-keyring --keyring /dev/null --secret-keyring /dev/null'
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
function tell(s) { gsub(/[^ -~]/, "?", s); print "recover.sh: " s | "cat >&2"; print > flaw }
'
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

# --- The chain, from the left: "DIR NAME ID START HOW STATE FORMAT" -----------
# START is the last index that counts ("max": the highest there is). HOW is
# strict where a gap ends what counts, lost where it costs only what is gone.
# (No HEAD or TAIL is larger; a sparse one of any size costs nothing to make.)
text() { [ ! -f "$1" ] || head -c 65536 "$1" 2>/dev/null; }
# No list or index is longer, and no line: forged ones would fill $T, and keep awk busy.
bounded() { head -c 67108864 | cut -b 1-1048576; }
lines_of() { [ ! -f "$1" ] || bounded < "$1"; }
key() { text "$2" | sed -n "s/^$1: *//p" | head -n 1; }
sound() { [ "$(text "$1" | sed '/^sha256:/,$d' | sha256sum | sed 's/ .*//')" = "$(key sha256 "$1")" ]; }
filled() { ls "$1" 2>/dev/null | grep -q '^[0-9][0-9]*$'; }

# Whether a detached signature is good and by a key that was asked for, or a part of
# it; with `!` behind it, by that part of the key alone.
signed() {
    [ -s "$1.sig" ] || return 1
    $GPG --status-fd 1 --verify "$1.sig" "$1" 2>/dev/null </dev/null |
        awk '$2 ~ /SIG$/ && $2 != "VALIDSIG" { revoked = $2 == "REVKEYSIG" }
            $2 == "VALIDSIG" && !revoked { print $3 }' |
        grep -qxF -f "$T/signers"
}
[ -z "$signers" ] || has "${GPG%% *}" || die "it needs gpg"
while IFS= read -r key; do
    [ -n "$key" ] || continue
    part=
    case $key in *!) part=$(printf '%s' "${key%!}" | sed 's/^0[xX]//' | tr -d ' ' | tr a-f A-F) ;; esac
    $GPG --with-colons --list-keys -- "$key" 2>/dev/null </dev/null |
        awk -F: -v part="$part" '$1 == "pub" { n++ }
            $1 == "fpr" && substr($10, length($10) + 1 - length(part)) == part { print $10; found = 1 }
            END { if (n != 1 || !found) exit 1 }' >> "$T/signers" ||
        die "$key: no such public key, or several: gpg --import it, and give its fingerprint"
    signer="${signer:+$signer or }$key"
done <<END
$signers
END

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
    case $format/$(key uses "$head") in
    1/* | 2/keys | '2/keys references' | '2/keys references deltas')
        [ "$(key band "$head")" = "$name" ] && { [ $dir = . ] || [ "${id:=$(key id "$head")}" = "$(key id "$head")" ]; } ||
            die "../$name is another band than the one that the next builds on"
        id=$(key id "$head") parent=$(key parent "$head") parent_id=$(key parent-id "$head") parent_last=$(key parent-last "$head") ;;
    [!/]*) die "$name is in format $format $(key uses "$head"), and this script knows format 1, and of 2 keys, references and deltas: take the recover.sh of a newer Dura" ;;
    *)  filled "$dir" || [ -n "$force" ] || die "the band $name is missing; -f recovers what the others hold"
        tell "$name has lost its HEAD"
        parent=${name%-*}; [ "$parent" != "$name" ] || parent=- ;;
    esac
    state=complete how=lost
    if [ ! -s "$dir/TAIL" ]; then
        state=unfinished
    elif [ -n "$signer" ] && ! signed "$dir/TAIL"; then
        tell "no good signature by $signer: $name/TAIL; the band is taken as unfinished"
        state=unfinished
    elif ! sound "$dir/TAIL" || [ "$(key id "$dir/TAIL")" != "${id:=$(key id "$dir/TAIL")}" ]; then
        tell "the TAIL of $name is damaged"
    else
        : "${start:=$(key last "$dir/TAIL")}"
    fi
    case $start in -) ;; *[!0-9]*|'') start=max; [ $state = complete ] || how=strict ;; esac
    case $id in *[!0-9a-f]*|'') id=- ;; esac
    chain="$dir $name $id $start $how $state ${format:--}
$chain"
    [ "$parent" != - ] || break
    case $name in "$parent"-*) ;; *) die "the HEAD of $name names a parent that it cannot have" ;; esac
    dir=../$parent name=$parent id=$parent_id start=$parent_last
done
printf '%s' "$chain" > "$T/chain" || full
bands() {       # FUNCTION, for each band
    tier=0
    while read -r dir name id start how state format; do
        B=$T/$tier
        eval "runs=\${runs_$tier-}"
        $1 </dev/null
        intact
        tier=$((tier + 1))
    done < "$T/chain"
}

# --- What is damaged, and what counts -----------------------------------------
# Names of objects are letters, digits, dots, dashes and slashes; no other name
# that a list may hold ever gets near a command.
only() { "$@" "$B/objects" > "$T/even"; mv "$T/even" "$B/objects" || full; }  # keeps what COMMAND prints
survey() {
    mkdir "$B"
    for f in objects listed bad; do : > "$B/$f"; done
    (
        cd -P "$dir" 2>/dev/null || exit
        for o in [0-9]*/[0-9]*.*; do [ ! -s "$o" ] || [ -h "$o" ] || printf '%s\n' "$o"; done |
            grep '^[0-9]*/[0-9][0-9.a-z-]*$' > "$B/objects"
    )
    # In format 1 nothing is a key object.
    [ "$format" = 1 ] || grep '^[0-9]*/[0-9]*-[0-9.]*\.key\.gpg$' "$B/objects" > "$B/keys"
    : >> "$B/keys"
    (cd -P "$dir" && xargs ls -ln /dev/null < "$B/objects") | awk '$1 ~ /^-/ && !/\.sha256/ { print $5, $9 }' > "$B/sizes" || full
    only grep -v -
    awk '/\.(mtree|toc)\./ && $1 > 67108864 { print $2 }' "$B/sizes" > "$T/odd"
    while read -r o; do tell "larger than any index: $name/$o; left out"; done < "$T/odd"
    [ ! -s "$T/odd" ] || only grep -vxF -f "$T/odd"
    # An encrypted band holds nothing that is not: somebody has put it there. Its
    # first list tells, too.
    if [ -s "$B/keys" ] || grep -q '\.gpg$' "$B/objects" ||
        lines_of "$dir/00000/000000000-0.sha256" | grep -q '\.gpg$'; then
        sealed=1
        awk '/\.(tar|rdiff|sums|mtree|toc)[^\/]*$/ && !/\.gpg$/' "$B/objects" > "$T/odd"
        if [ -s "$T/odd" ] && [ -z "$take_plain" ]; then
            while read -r o; do tell "not encrypted, though $name is: $name/$o; left out (-p takes it)"; done < "$T/odd"
            only awk '!/\.(tar|rdiff|sums|mtree|toc)[^\/]*$/ || /\.gpg$/'
        fi
    elif [ -z "$take_plain" ] && [ -s "$B/objects" ]; then
        if [ -n "$sealed" ]; then
            tell "$name is not encrypted, though a band below it is (-p if that is as it should be)"
        elif [ "$dir" = . ]; then
            # Somebody may have put it on top of an older one, beside the chain.
            for o in ../[0-9]*Z; do
                [ -s "$o/00000/000000000.mtree.gz.gpg" ] || continue
                awk 'BEGIN { exit ARGV[1] <= ARGV[2] }' "${name##*-}" "${o##*[/-]}" || continue
                tell "$name is not encrypted, though ${o#../} is, which is older (-p if that is as it should be)"
                break
            done
        fi
    fi
}
# On a terminal: which object of how many, and bytes.
watched=; [ ! -t 2 ] || watched=1
progress() {
    [ -n "$watched" ] || { cat; return; }
    awk -v name="$name" '
        !sums { size[$2] = $1 / 1048576; all += size[$2]; m++; next }
        { print }
        $2 in size {
            mib += size[$2]
            printf "\r%s: object %d of %d checked, %d of %d MiB ", name, ++n, m, mib, all > "/dev/stderr"
        }
        END { if (n) print "" > "/dev/stderr" }' "$B/sizes" sums=1 -
}
verify() {
    say "checking $name (tier $tier, $state)"
    (
        cd -P "$dir" 2>/dev/null || exit
        for l in [0-9]*/*.sha256; do
            [ -s "$l" ] || continue
            if [ -n "$signer" ] && ! signed "$l"; then
                tell "no good signature by $signer: $name/$l; what only it lists is left out"
            else
                # It must be this band's, and not one of another archive.
                if [ -n "$signer" ] && [ "$(lines_of "$l" | sed -n 's/^#band //p' | head -n 1)" != "$name $id" ]; then
                    tell "the list of another band: $name/$l; left out"
                    continue
                fi
                lines_of "$l"
            fi
        done | awk '
            $1 == "#object" { size[$3] = $2 }
            !/^#/ && length($1) == 64 && $2 ~ "^[0-9A-Za-z][0-9A-Za-z./-]*$" && $2 !~ /\.\./ { print $1, $2, $2 in size ? size[$2] : "-" }' > "$B/listed"
        # What has another size need not be read for that, or at all if it is far larger.
        while read -r sum o size; do [ ! -s "$o" ] || printf '%s\n' "$o"; done < "$B/listed" | xargs ls -ln /dev/null |
            awk -v other="$B/other" -v huge="$B/huge" 'FILENAME ~ /listed$/ { size[$2] = $3; next }
                $1 !~ /^-/ || !($9 in size) { next }
                size[$9] == "-" || size[$9] == $5 { print $9; next }
                { print "-", $9 > other; if ($5 > 2 * size[$9] + 67108864) print $9 > huge }' "$B/listed" - |
            xargs -n 16 sha256sum /dev/null | progress > "$B/sums"
    )
    for f in listed sums other; do : >> "$B/$f"; done
    cat "$B/other" >> "$B/sums"
    [ ! -s "$B/huge" ] || only grep -vxF -f "$B/huge"
    awk 'FILENAME ~ /sums$/ { sum[$2] = $1; next }
        !($2 in sum) { print "missing", $2; next }
        sum[$2] != $1 { print "damaged", $2 }' "$B/sums" "$B/listed" > "$B/bad"
    while read -r what o; do tell "$what: $name/$o"; done < "$B/bad"
    if [ -s "$B/bad" ] && grep -q '\.rs[0-9]*$' "$B/listed"; then
        say "  parity may rebuild it: python3 rsrepair.py LIST.sha256, in that band's folder"
    fi
    if [ -n "$signer" ]; then
        only awk 'FILENAME ~ /bad$/ { bad[$2]; next } FILENAME ~ /listed$/ { good[$2]; next }
            $0 in good && !($0 in bad)' "$B/bad" "$B/listed"
    fi
}

# gpg may end with 2 though every byte came, when it tried other keys first: its
# status lines are what counts.
GOOD='
$1 != "[GNUPG:]" { next }
{ seen[$2]++ }
$2 == "DECRYPTION_INFO" && $5 + 0 > 0 { seen["GOODMDC"]++ }
END {
    bad = seen["DECRYPTION_FAILED"] + seen["BADMDC"] + seen["NODATA"] + seen["UNEXPECTED"]
    if (run) bad += seen["ENC_TO"]
    exit !(seen["DECRYPTION_OKAY"] && seen["GOODMDC"] && seen["END_DECRYPTION"] && !bad)
}'
# The passphrase goes through a pipe, never in an argument or the environment.
open() {
    if [ -n "${phrase-}" ]; then
        printf '%s\n' "$phrase" | $GPG --batch $loopback --passphrase-fd 0 "$@"
    else
        $GPG "$@" </dev/null
    fi
}
unseal() {
    if [ -z "$runs" ]; then
        open --status-fd 5 -q -o - -d "$1" 5> "$T/status"; awk "$GOOD" "$T/status"
        return
    fi
    # The key of the nearest run at or below it, then the others.
    at=${1##*/}; at=${at%%.*} below= above=
    for k in $runs; do
        if [ "${k%:*}" -gt "$at" ]; then above="$above $k"; else below="$k $below"; fi
    done
    for k in $below $above; do
        eval "k=\$key_${k#*:}"
        printf '%s\n' "$k" | $GPG --batch $loopback $alone --passphrase-fd 0 --status-fd 5 -q -o - -d "$1" 5> "$T/status" 2> "$T/gpg"
        awk -v run=1 "$GOOD" "$T/status" && return
        ! grep -q ' PLAINTEXT ' "$T/status" || break
    done
    clean < "$T/gpg" >&2
    return 1
}
plain() { case $1 in *.gpg) unseal "$1" ;; *) cat "$1" ;; esac; }

# The keys of a band's runs, each opened once. They stay in variables of this shell.
n_keys=0
opens() {       # KEYOBJECT
    text=$(open --status-fd 5 -o - -d "$dir/$1" 5> "$T/status" 2> "$T/gpg")
    awk "$GOOD" "$T/status" && case $text in '' | *[!A-Za-z0-9+/=\ $IFS]*) false ;; esac
}
keep() { n_keys=$((n_keys + 1)); eval "key_$n_keys=\$2"; runs="$runs $1:$n_keys"; }
unlock_runs() {
    (cd -P "$dir" && xargs sha256sum /dev/null < "$B/keys") | awk '
        $2 ~ /\.key\.gpg$/ && !($1 in seen) {
            seen[$1]; n = $2; sub(/.*\//, "", n); sub(/\.key\.gpg$/, "", n); print n, $2
        }' | sort > "$B/messages" || full
    runs=
    # A message that was added may have the keys of all runs, a line each.
    if [ "$(grep -c '^[0-9]*-[0-9]* ' "$B/messages")" -gt 1 ]; then
        while read -r n o; do
            case $n in *.*) opens "$o" || continue ;; *) continue ;; esac
            set -- $(key runs "$dir/TAIL" | tr -cs '0-9\n' ' ')
            [ "$(printf '%s\n' $text | wc -l)" -eq $# ] || continue
            for k in $text; do keep "$1" "$k"; shift; done
            break
        done < "$B/messages"
    fi
    done=
    [ -n "$runs" ] || while read -r n o; do
        [ "${n%%.*}" != "$done" ] || continue
        if opens "$o"; then keep "${n%%-*}" "${text%%
*}"; done=${n%%.*}; else clean < "$T/gpg" >&2; fi
    done < "$B/messages"
    eval "runs_$tier=\$runs"
    [ -n "$runs" ] || { intact; die "gpg cannot open $name; what it said is above: it needs the secret key, or the passphrase"; }
}
# With no secret key at hand, say so before anything is begun.
unlock() {
    if [ -s "$B/keys" ]; then
        has "${GPG%% *}" || die "$name is encrypted: it needs gpg"
        unlock_runs
        return
    fi
    # Indexes are small, and some of them may be damaged.
    awk '/\.gpg$/ { print !/\.mtree/, $0 }' "$B/objects" | sort | sed 's/^. //;5q' > "$T/locked"
    [ -s "$T/locked" ] || return 0
    has "${GPG%% *}" || die "$name is encrypted: it needs gpg"
    if [ "$format" != 1 ]; then
        read -r o < "$T/locked"
        ! $GPG --batch --list-only --list-packets "$dir/$o" 2>/dev/null </dev/null | grep -q 'count 1088 ' ||
            die "all key objects (*.key.gpg) of $name are lost: parity may bring them back, python3 rsrepair.py LIST.sha256 in that band's folder"
    fi
    while read -r o; do
        open --status-fd 1 -d "$dir/$o" 2> "$T/gpg" | grep -q '^\[GNUPG:\] PLAINTEXT' && return 0
    done < "$T/locked"
    clean < "$T/gpg" >&2
    die "gpg cannot decrypt $name; what it said is above: it needs the secret key, or the passphrase"
}

# Makes of an index the lines "PATH TYPE KIND MODE OWNER TIME SUM FLAGS N", with
# KIND s (stored), o (stored, and over), i (content elsewhere) or d (deleted),
# and SUM the sha256, target or device. FLAGS has c where the content is that of
# another path below this band, e of one in it, p if a delta makes it of that, v if
# it is over, too; then OF is that path. Prints what the index is after, and how many bytes its lines come to
# in a tar at most (headers, content and map of holes, attributes).
READ='
function field(s) { return s == "" ? "-" : s }
length($0) > 1000000 { tell(name " has a line in index " n " that no index has; skipped"); next }
NR == 1 && !/^#(mtree|index) / && $0 != "#mtree" { exit }
/^#index / && !known {
    if ((id == "-" || $2 == id) && pad($3) == n && $4 == "after" && ($5 == "-" || $5 + 0 < n + 0)) {
        known = 1; after = $5 == "-" ? "-" : pad($5)
    }
}
known && $1 == "#source" { print $3 > source }
/^#/ || NF == 0 { next }
!known { exit }
{
    split("", v); k = "s"; flags = "-"; of = over = patch = ""
    for (i = 2; i <= NF; i++) if ((e = index($i, "="))) v[substr($i, 1, e - 1)] = substr($i, e + 1)
    m = split(v["tags"], tag, ",")
    for (i = 1; i <= m; i++) {
        if (tag[i] == "deleted") k = "d"
        if (tag[i] == "over") { k = "o"; over = "v" }
        if (tag[i] ~ /^in:/) { k = "i"; at = substr(tag[i], 4) + 0 }
        if (tag[i] ~ /^of:/) of = enc(dec(substr(tag[i], 4)))
        if (tag[i] == "rdiff") patch = "p"
        if (tag[i] ~ /^hard:/) flags = flags "h"
        if (tag[i] == "x") flags = flags "x"
        if (tag[i] == "excluded" || tag[i] == "unreadable") next
    }
    if (patch != "" && of == "") { of = "/dev/null"; at = -1 }
    if (of != "") {
        if (!(safe(of) || of == "/dev/null") || v["type"] != "file" || !v["sha256digest"]) { tell($1 ": refers to no file; skipped"); next }
        k = "i"; flags = flags (at < tier ? "c" patch : "e") over
    }
    if (!safe($1) || v["type"] !~ /^(file|dir|link|fifo|char|block)$/ || ($1 == "." && v["type"] k != "dirs")) { tell($1 ": no path to recover; skipped"); next }
    if (v["mode"] ~ /[^0-7]/ || v["uid"] v["gid"] v["size"] ~ /[^0-9]/ || v["time"] !~ /^(-?[0-9]+\.[0-9]+)?$/ || v["sha256digest"] v["device"] ~ /[^0-9a-z,]/) { tell($1 ": a line that no index has; skipped"); next }
    print $1, v["type"], k, field(v["mode"]), field(v["uid"]) ":" field(v["gid"]), field(v["time"]), field(v["sha256digest"] v["link"] v["device"]), flags, n, of > lines
    most += 4096 + 2 * length($0) + (flags ~ /x/) * 2097152
    if (k patch ~ /[sop]/ && flags !~ /h/) most += v["size"] * 9 / 8
}
END { if (after != "") printf "%s %.0f\n", after, most }'

# Makes of "N AFTER MOST" lines what counts: "N counted", or "N lost" for what a
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

# Makes of it all the plan, "N STATE NTH MIB MOST OBJECT..." for each block that
# counts: bad, or unlisted where no checksum list speaks for it, or good; which one it
# is, the MiB up to its end, and how many bytes it may expand to ("all" where no
# index tells). Those that are deltas are not in it, but in the file deltas.
PLAN='
FILENAME ~ /table$/ { if ($3 != "") listed_bytes[$1] = $3; next }
FILENAME ~ /lines$/ {
    if ($3 == "s" || $3 == "o" || $8 ~ /p/) full[$9]
    if ($8 ~ /p/) delta[$9]
    next
}
FILENAME ~ /bad$/ { if ($2 ~ /\.(tar|rdiff)/) bad[number($2)]; next }
FILENAME ~ /listed$/ { listed[$2]; next }
FILENAME ~ /sizes$/ { size[$2] = $1 / 1048576; next }
FILENAME ~ /objects$/ {
    n = number($0)
    if ($0 !~ (n in delta ? "\\.rdiff" : "\\.tar")) next
    if ($0 ~ /\.(tar|rdiff)(\.gz|\.zst)?(\.gpg)?$/) whole[n] = $0
    else if (match($0, /\.[0-9]+(\.gpg)?$/)) {
        i = substr($0, RSTART + 1) + 0; piece[n, i] = $0
        if (i >= parts[n]) parts[n] = i + 1
    }
    next
}
{
    n = $1; state = n in bad ? "bad" : "good"; objects = whole[n]
    if (objects == "") for (i = 0; i < parts[n]; i++) {
        if (!((n, i) in piece) && (only == "" || n in full)) { tell("part " i " of block " n " of " name " is missing"); state = "bad"; break }
        objects = objects " " piece[n, i]
    }
    m = split(objects, o)
    for (i = 1; i <= m; i++) if (!(o[i] in listed) && state == "good") state = "unlisted"
    if (only != "" && !(n in full)) next
    if (!m && n in full) { tell("block " n " of " name " is missing"); state = "bad" }
    was = mib; for (i = 1; i <= m; i++) mib += size[o[i]]
    most = n in listed_bytes ? sprintf("%.0f", (64 + 32 * (mib - was)) * 1048576 + listed_bytes[n]) : "all"
    if (n in delta) print n, state, nth, int(mib), most, objects > (out "/deltas")
    else if (m || n in full) print n, state, ++nth, int(mib), most, objects
}'

# Keeps of the lines what is wanted, with the directories above.
NARROW='
FILENAME ~ /sought$/ { if (found()) { want[path]; for (p = path; p ~ /\//; ) above[p = up(p)] }; next }
function wanted(p) { for (; p ~ /\//; p = up(p)) if (p in want) return 1; return 0 }
wanted($1) { print > seen; print; next }
$1 in above && ($2 == "dir" || $3 == "d")'
narrow() {
    run -v seen="$T/seen" "$AWK$NARROW" "$T/sought" "$B/lines" > "$T/part" && mv "$T/part" "$B/lines" || full
}
read_indexes() {
    run "$AWK"'/\.mtree\.gz(\.gpg)?$/ { print number($0), $0 }' "$B/objects" | sort -n > "$B/indexes" || full
    : > "$B/table"; : > "$B/lines"
    while read -r n o; do
        rm -f "$T/torn"
        { { plain "$dir/$o" || : > "$T/torn"; } | gzip -dc || : > "$T/torn"; } | bounded > "$T/text" || full
        after=$(run -v id="$id" -v n="$n" -v tier="$tier" -v source="$T/source" -v lines="$B/lines.$n" "$AWK$READ" "$T/text")
        # A wrong line in a torn index might remove the wrong thing.
        [ ! -e "$T/torn" ] || { rm -f "$B/lines.$n"; : > "$B/torn.$n"; after=${after% *}; }
        [ -z "$after" ] || echo "$n $after" >> "$B/table" || full
    done < "$B/indexes"
    run -v start="$start" -v how="$how" "$AWK$WALK" "$B/table" | sort -n > "$B/counts" || full
    while read -r n what; do
        [ ! -e "$B/torn.$n" ] || what=damaged
        [ $what = counted ] || : > "$T/unindexed"
        [ $what = counted ] || tell "index $n of $name is $what: what its block holds is recovered, but cannot be checked"
        [ ! -e "$B/lines.$n" ] || cat "$B/lines.$n" >> "$B/lines" || full
    done < "$B/counts"
    rm -f "$B"/lines.*
    rest=$(awk 'FILENAME ~ /counts$/ { counts[$1]; next } !($1 in counts) { print $1 }' "$B/counts" "$B/indexes")
    [ -z "$rest" ] || say "left out of $name, as superseded or beyond a gap:" $rest
}
# Of a part also what it refers to: from the newest band to the oldest.
SOUGHT='
FILENAME ~ /sought$/ { if (found()) want[path]; next }
function wanted(p) { for (; p ~ /\//; p = up(p)) if (p in want) return 1; return 0 }
$8 ~ /[ce]/ && wanted($1) { print dec($10) "//" }'
# (Also of a path that is written as -l does it, or with the path of the source.)
sought() {
    : >> "$T/source"
    run "$AWK"'FILENAME ~ /lines$/ { there[$1]; next }
        FILENAME ~ /source$/ { source = dec($1); sub("/*$", "/", source); next }
        function below(p) { return source != "" && index(p "/", source) == 1 ? "./" substr(p, length(source) + 1) : p }
        found() {
            p = below(dec(path)); q = below(dec(dec(path)))
            if (!(enc(p) in there) && enc(q) in there) p = q
            if (index(p, "/") == 1 || p == "./") tell(path ": not below the directory that was backed up, " source)
            else print p "//"
        }' "$T"/[0-9]*/lines "$T/source" "$T/want" > "$T/sought" && cp "$T/sought" "$T/want" || full
    while [ "$tier" -gt 0 ]; do
        tier=$((tier - 1))
        run "$AWK$SOUGHT" "$T/sought" "$T/$tier/lines" > "$T/more" && cat "$T/more" >> "$T/sought" || full
    done
}
plan() {
    [ -z "$want" ] || narrow
    run -v only="$want" "$AWK$PLAN" "$B/table" "$B/lines" "$B/bad" "$B/listed" "$B/sizes" "$B/objects" "$B/counts" > "$B/plan"
    : >> "$B/deltas"
    ! grep -q '\.zst' "$B/plan" "$B/deltas" || has zstd || die "$name is compressed with zstd: it needs zstd"
    [ ! -s "$B/deltas" ] || lays || die "$name has files of which only what changed is stored: it needs python3, and rdpatch.py beside this script, or rdiff"
}
lays() { { has python3 && [ -f "$beside/rdpatch.py" ]; } || has rdiff; }

# --- Recovery of a band --------------------------------------------------------
# Sorts its lines, with the symlinks that find saw in DEST: what lies below one
# is told and skipped, and the symlink stands aside until the tar has passed.
SIFT='
function skip(why) { tell($1 ": " why "; skipped") }
FILENAME ~ /links$/ { if (found()) link[path]; next }
FILENAME ~ /marked$/ { marked[$0]; next }
pass == 1 {
    if ($3 == "d" && under($1) != "") skip("below a symlink")
    else if ($1 != "." && ($3 == "d" || $3 == "o" || $8 ~ /v/) && under($1) == "") { gone[$1]; print item("-", $1) > (out "/gone") }
    if ($8 ~ /c/) {
        if (under($10) == "" && !($10 in link)) { of[$1] = $10; uses[$10]++; if ($8 ~ /p/) patch[$1] = $9 }
        else tell($1 ": what it refers to is a symlink, or below one")
    }
    next
}
FNR == 1 {      # what goes and is wanted once is moved, and not copied
    for (p in of) {
        way = "cp"
        if (p in patch) { nth[p] = ++n_of; print item(n_of ":" patch[p], of[p]) > (out "/patch"); continue }
        if (uses[of[p]] == 1) for (q = of[p]; q ~ /\//; q = up(q)) if (q in gone) way = "mv"
        nth[p] = ++n_of; print item(way ":" n_of, of[p]) > (out "/save")
    }
}
FNR == 1 {      # some symlinks go before anything is looked up through them
    for (p in link) for (q = p; q ~ /\//; q = up(q)) if (q in gone) { delete link[p]; break }
}
$3 == "d" { next }
(s = under($1)) != "" { skip("below the symlink " s); if (s in here) twisted[$9]; else aside[s]; next }
$2 == "dir" && $1 in link { skip("a symlink is there"); aside[$1]; next }
# What it makes way for is no symlink; so no tar gets to follow it.
$2 != "link" && ($3 == "s" || $8 ~ /[ce]/) && $1 in link { delete link[$1]; print item("-", $1) > (out "/gone") }
$2 == "link" && $3 == "s" {
    if ($1 in link && !($1 in here)) print item("-", $1) > (out "/gone")
    link[$1]; here[$1]
}
$2 == "dir" { print item("-", $1) > (out "/dirs") }
$2 == "dir" && $1 in marked {
    if ($1 != ".") print item("-", $1) > (out "/renew")
    else if ($8 !~ /x/) tell(".: it may have attributes that are only in an older band")
}
$2 == "dir" && $8 ~ /x/ { print $1 >> had }
$2 == "file" && $3 != "i" && $8 ~ /x/ && $4 ~ /^0*[0-7]?[0145]..$/ { print item("-", $1) > (out "/sealed") }
$8 ~ /[ce]/ {
    if ($8 ~ /e/) { nth[$1] = ++n_of; print item("cp:" n_of, $10) > (out "/later") }
    print nth[$1] + 0, $7, $1, item(nth[$1] + 0, $1) > (out ($8 ~ /e/ ? "/refill" : "/fill"))
}
{ print > (out "/use") }
END {
    # If there are many, GNU tar is told to leave alone what lies below them; bsdtar does so by
    # itself.
    for (s in link) many++
    # (It takes no blank at the end of a line in its list for a part of the name.)
    for (s in link) if (!(s in here) && (many < 1000 || kind == "other" || s ~ /\\0(12|(40|1[1-5])$)/)) aside[s]
    for (s in aside) print item("-", s) > (out "/aside")
    for (n in twisted) print n > (out "/twisted")
    for (s in link) if (!(s in here || s in aside)) print dec(s) > (out "/avoid")
}'
# After the extraction: what to look at, and what to set.
SET='
FILENAME ~ /links$/ { if (found()) link[path]; next }
FILENAME ~ /doubt$/ { doubt[$1]; next }
FILENAME ~ /setids$/ { if (found()) setid[path]; next }
# What the band does not list is shut again.
FILENAME ~ /shut$/ {
    if (!found()) next
    u = path; sub("/.*", "", u); path = substr(path, length(u) + 2)
    d = path; depth = gsub("/", "/", d)
    if (!(path in set) && !(path in link) && under(path) == "") print depth, item("u=" substr(u, 2), path) > (out "/modes")
    next
}
under($1) != "" || ($2 != "link" && $1 in link) {
    tell($1 ": a symlink is in the way; skipped")
    if (under($1) == "") print item(":::" $1, $1) > (out "/other")
    next
}
# A forged block may say so of a file, though its line does not.
$2 == "file" && $3 != "i" && $1 in setid {
    if (substr("0000" $4, length($4) + 1, 1) ~ /[01]/) tell($1 ": it came with a setuid or setgid bit that is not listed")
    print 0, item("0" $4, $1) > (out "/modes")
}
{
    # What a doubtful block held is checked, and every hard link in a damaged
    # version: the file that it was linked to may be an older one.
    sum = all || $9 in doubt || (hurt && $8 ~ /h/) ? $7 : "-"
    if ($2 == "char" || $2 == "block") sum = $7
    if ($2 == "link") { gsub(/\\/, "\\0", sum); gsub(/:/, "\\0072", sum) }
    print item($2 ":" $4 ":" sum ":" $1, $1) > (out "/look")
    if ($8 ~ /x/ && $3 != "i") attributes++
    if ($5 != me) foreign = 1
}
# Set like an in: entry is also what a doubtful block held, and what this tar
# may get wrong. bsdtar takes -0.25 s for 0.25, and clears setuid; busybox knows
# no ids of 10 digits, no time before 1970, and no owners of symlinks. (But not
# what has attributes: a new owner would cost a file its capabilities, so with -c
# it gets one only if it has another.)
{ soft = $8 ~ /x/ && $3 != "i" ? "/owned" : "/owners" }
every && $2 != "link" { $3 = "i" }
($9 in doubt && $8 !~ /x/) || (kind != "gnu" && ($6 ~ /^-/ || $4 ~ /^0[1-7]...$/)) { $3 = "i" }
kind == "other" && $2 == "link" { $3 = "i" }
($2 == "dir" || $3 == "i") && $4 != "-" && $6 != "-" {
    if (root) print item($5, $1) > (out ($2 == "dir" ? "/owners" : soft))
    split($6, t, "."); s = t[1]
    if (nanoseconds) {
        if (s < 0 && t[2] > 0) { s = "-" (-s - 1); t[2] = sprintf("%09d", 1000000000 - t[2]) }
        s = s "." t[2]
    }
    if (!exact || $3 == "i") print item("@" s, $1) > (out "/times")
    # Five digits: with fewer, GNU chmod keeps a setgid bit that is there.
    d = $1; depth = gsub(/\//, "/", d); set[$1]
    if ($2 != "link") print depth, item("0" $4, $1) > (out "/modes")
}
END {
    if (attributes && bare) tell(attributes " entries have xattrs or ACLs, which this tar leaves out")
    if (foreign && !root) print > foreign_file
}'
# What was wrong with older bands, without what this band has replaced.
STILL='
FILENAME ~ /use$/ { if ($3 != "i" || $8 ~ /[ce]/) new[$1]; next }
FILENAME ~ /lines$/ { if ($3 == "d" || $3 == "o" || $8 ~ /v/) gone[$1]; next }
{ for (p = $1; p ~ /\//; p = up(p)) if (p in gone) next }
!($1 in new)'

in_dest() { (cd "$dest" || abort "cannot enter $dest"; "$@"); }
version() {
    run "$AWK$STILL" "$B/use" "$B/lines" "$T/version" > "$T/listed"
    awk '{ print $1, $2 }' "$B/use" >> "$T/listed" && mv "$T/listed" "$T/version" || full
}
list_version() { awk '$3 != "d"' "$B/lines" > "$B/use"; version; }
links() { find . -type l -exec printf '%s//\n' {} + 2>/dev/null; }
setids() { find . -type f \( -perm -4000 -o -perm -2000 \) -exec printf '%s//\n' {} + 2>/dev/null; }
everything() { find . -exec printf '%s//\n' {} + | run "$AWK"'found() { print path }' | sort; }
# A user who is not root cannot see what lies in each directory, or move it: all
# are opened. Prints "MODE/PATH//" for each that was not.
ready() {
    [ -n "$root" ] || find . -type d ! -perm -700 -exec sh -c '
        u=; [ ! -r "$1" ] || u=r; [ ! -w "$1" ] || u=${u}w; [ ! -x "$1" ] || u=${u}x
        chmod u+rwx "$1" 2>/dev/null && printf "u%s/%s//\n" "$u" "$1"' sh {} \;
}
remove() {
    rm -rf "$@" 2>/dev/null && return
    find "$@" -type d ! -perm -700 -exec chmod u+rwx {} \;
    rm -rf "$@" || flaw
}
# Content that lies under another path is kept in a folder until it is wanted.
save() {
    while take; do
        to=$own.of/${arg#*:}
        if [ ! -f "$path" ] || [ -h "$path" ]; then continue; fi
        [ "${arg%:*}" = cp ] || mv "$path" "$to" 2>/dev/null || arg=cp:
        case $arg in cp:*) cp -p "$path" "$to" || flaw ;; esac
    done
}
# A file of which what changed is stored is made in that folder, too.
lay() {         # NTH MOST BASE
    [ "$3" = /dev/null ] || { [ -f "$3" ] && [ ! -h "$3" ]; } || return 0
    if has python3 && [ -f "$beside/rdpatch.py" ]; then
        python3 "$beside/rdpatch.py" "$3" "$own.of/delta" "$own.of/$1" || flaw
    else
        rdiff patch "$3" "$own.of/delta" - | limit "$2" > "$own.of/$1" || flaw
    fi
}
patches() {
    while take; do
        grep "^${arg#*:} " "$B/deltas" > "$T/delta" || continue
        read -r n state nth mib most objects < "$T/delta"
        stream < "$T/delta" > "$dest/$own.of/delta" || flaw
        in_dest lay "${arg%:*}" "$most" "$path"
        rm -f "$dest/$own.of/delta" "$B/torn"
    done
}
# A block may have brought a symlink that no line lists.
INSIDE='
FILENAME ~ /links$/ { if (found()) link[path]; next }
(s = under($3)) != "" { tell($3 ": below the symlink " s "; skipped"); next }
{ sub(/^[^ ]* [^ ]* [^ ]* /, ""); print }'
# What has not the sha256 of its line goes, the others to their places.
sift_copies() {
    (cd "$own.of" && find . -type f -exec sha256sum {} +) |
        awk 'FILENAME ~ /fill$/ { sum[$1] = $2; next } { sub(/.*\//, "", $2) } sum[$2] != $1 { print $2 }' "$B/$1" - |
        while read -r n; do rm -f "$own.of/$n"; done
}
fill() {
    while take; do
        rm -f "$path" 2>/dev/null
        [ -e "$own.of/$arg" ] || continue
        if [ -e "$path" ] || [ -h "$path" ]; then tell "$path: is in the way of a file"; continue; fi
        mv "$own.of/$arg" "$path" || flaw
    done
}
# No tar takes away xattrs or an ACL that a directory had in an older band. So it
# gets a new one in its place, with all that was in the old one.
pour() { find "$1" ! -name "$1" -prune -exec sh -c 'd=$1; shift; mv -- "$@" "$d"' sh "$2" {} + && rmdir "$1"; }
renew() {
    old=$own.old
    while take; do
        if [ -h "$path" ] || [ ! -d "$path" ]; then continue; fi
        mv "$path" "$old" && make "$path" && pour "$old" "$path" && continue
        tell "$path: it may have attributes that are only in an older band"
        mv "$path" "$old/$own" && mv "$old" "$path" && (cd "$path" && pour "$own" .)
    done
}
make() { mkdir -m 700 "$@" 2>/dev/null; }       # what is there may stay
# Symlinks that a tar might follow stand aside while it runs; the list is in
# hidden. Directories that the band does not list keep their times.
aside() {
    i=$(wc -l < "$B/hidden")
    [ -e "$B/was.0" ] || touch -r . "$B/was.0"
    while take; do
        i=$((i + 1))
        touch -r "${path%/*}" "$B/was.$i"
        if ! mv "$path" "$own.$i"; then
            back < "$B/hidden"
            abort "cannot move $path aside: recover into an empty directory"
        fi
        printf '%s\n' "$line" >> "$B/hidden"
    done
}
all_aside() { links | run -v own="./$own." "$AWK"'found() && index(path, own) != 1 { print item("-", path) }' | aside; }
# Makes the way to a symlink again, where a block has put something else there.
way() {
    at=. rest=${1#.}
    while [ -n "$rest" ]; do
        rest=${rest#/}; at=$at/${rest%%/*}; rest=${rest#"${rest%%/*}"}
        if [ ! -h "$at" ] && [ -d "$at" ]; then continue; fi
        tell "$at: a block holds something else than the directory; removed"
        remove "$at"; make "$at"
    done
}
back() {
    i=0
    while take; do
        i=$((i + 1))
        way "${path%/*}"
        if [ -e "$path" ] || [ -h "$path" ]; then
            tell "$path: a block holds something below this symlink; removed"
            remove "$path"
        fi
        mv "$own.$i" "$path"
    done
    [ $i != 0 ] || return 0
    awk '{ line[NR] = $0 } END { while (NR) print line[NR--] }' "$B/hidden" |
        while take; do touch -r "$B/was.$i" "${path%/*}"; i=$((i - 1)); done
    touch -r "$B/was.0" .
}

# Files, and all else that is no directory, of which a name lies outside of DEST:
# a forged hard link would give that one its owner and mode.
q=; ! ls -q / >/dev/null 2>&1 || q=q
inodes() {
    find . ! -type d -links +1 -exec ls -din$q {} + 2>/dev/null | awk '$2 ~ /^[^d]/ { n[$1]++; links[$1] = $3 }
        END { for (i in n) if (n[i] < links[i]) print i }'
}
cut_off() {
    inodes | while read -r inode; do
        ! grep -qx "$inode" "$T/linked" || continue
        find . ! -type d -inum "$inode" -exec printf '%s//\n' {} + -exec rm -f {} + |
            run "$AWK"'found() { tell(path ": a hard link to what lies outside; removed") }'
    done
}

# The blocks that the plan on stdin names, as one tar stream. Each part of a
# block is an encrypted message of its own.
limit() { if head -c "$1" </dev/null 2>/dev/null; then head -c "$1"; else cat; fi; }
stream() {
    rm -f "$B/torn"
    while read -r n state nth mib most objects; do
        [ -z "$watched" ] || printf '\r%s: block %s of %s, %s of %s MiB ' "$name" "$nth" "$nths" "$mib" "$mibs" >&2
        case $objects in *.gz*) decode='gzip -dc' ;; *.zst*) decode='zstd -dcq' ;; *) decode=cat ;; esac
        { for o in $objects; do plain "$dir/$o" || : > "$B/torn"; done | $decode || : > "$B/torn"; } | limit "$most"
        [ ! -e "$B/torn" ] || break
    done
}
extract() {
    set -- -C "$dest" "$@"
    # GNU tar would follow a symlink that is there; this keeps it from it, and from
    # what leads there by another spelling.
    [ $kind != gnu ] || [ ! -s "$B/avoid" ] || set -- --anchored --wildcards --exclude='[!.]*' \
        --exclude='.[!/]*' --exclude='*//*' --exclude='*/./*' --no-wildcards -X "$B/avoid" "$@"
    # --no-same-permissions heeds the umask.
    (case $untar in *no-same*) umask 0 ;; esac; exec $untar "$@") 2> "$T/err"
    code=$?
    [ -z "$watched" ] || printf '\n' >&2
    [ $code = 0 ] || ! grep -qE ': (No space left on device|Disk quota exceeded)$' "$T/err" ||
        abort "$shown is full: make room, and begin again with an empty directory"
    [ ! -s "$T/err" ] || { clean < "$T/err" >&2; flaw; }
    return $code
}

# Prints what is not there, or a symlink that leads elsewhere. Files to be read
# go to the list on 3, made readable where need be; what is of another kind than
# its line says is noted.
look() {
    while take; do
        sum=${arg#*:*:}
        case $arg in file:*) is=-f ;; dir:*) is=-d ;; link:*) is=-h ;; fifo:*) is=-p ;; char:*) is=-c ;; *) is=-b ;; esac
        if [ ! $is "$path" ] || { [ $is != -h ] && [ -h "$path" ]; }; then
            printf '%s is missing\n' "${sum#*:}"
            printf '%s\n' "$line" >> "$B/other"
        elif [ "${sum%%:*}" = - ]; then :
        elif [ $is = -c ] || [ $is = -b ]; then
            set -- $(ls -ldn "$path")
            [ "native,${5%,},$6" = "${sum%%:*}" ] || { rm -f "$path"; printf '%s was another device\n' "${sum#*:}"; }
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
# Prints those items that have another owner.
another() {
    while take; do
        set -- $(ls -ldn "$path" 2>/dev/null)
        [ "${3-}:${4-}" = "$arg" ] || printf '%s\n' "$line"
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
    for f in gone dirs renew use aside hidden twisted avoid sealed doubt look other owned owners times modes read save patch later fill refill; do : > "$B/$f"; done
    # Steps 0 to 2 of RECOVER.txt.
    in_dest ready > "$B/shut"
    in_dest links > "$B/links"
    run -v had="$T/had" "$AWK$SIFT" "$B/links" "$T/marked" pass=1 "$B/lines" pass=2 "$B/lines"
    [ ! -s "$B/fill" ] && [ ! -s "$B/refill" ] || in_dest make "$own.of"
    patches < "$B/patch"
    in_dest save < "$B/save"
    in_dest each remove < "$B/gone"
    in_dest renew < "$B/renew"
    cat "$T/had" >> "$T/marked" 2>/dev/null
    in_dest aside < "$B/aside"
    case $untar in *no-same*) in_dest each make < "$B/dirs" ;; esac

    # Step 3. A block with a line below a symlink of its own band is a forgery.
    awk 'FILENAME ~ /twisted$/ { twisted[$1]; next } !($1 in twisted)' "$B/twisted" "$B/plan" > "$B/todo"
    awk '$2 != "good" { print $1 }' "$B/todo" > "$B/doubt"
    read -r n state nths mibs rest <<END
$(tail -n 1 "$B/todo")
END
    all= exact= hurt=
    if ! grep -q '^[0-9]* bad' "$B/todo"; then
        [ ! -s "$B/todo" ] || stream < "$B/todo" | extract || all=1
    fi
    if [ -e "$B/torn" ] || grep -q '^[0-9]* bad' "$B/todo"; then
        say "block by block"
        all=
        while read -r n state nth mib most objects; do
            in_dest ready > /dev/null
            in_dest all_aside
            [ -n "$objects" ] && echo "$n $state $nth $mib $most $objects" | stream | extract && [ ! -e "$B/torn" ] && continue
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
    [ ! -s "$B/hidden" ] || exact=
    in_dest ready > /dev/null
    in_dest back < "$B/hidden"
    in_dest cut_off

    # Step 3b.
    if [ -s "$B/fill" ] || [ -s "$B/refill" ]; then
        exact=
        for f in fill refill; do
            [ $f = fill ] || in_dest save < "$B/later"
            in_dest sift_copies $f
            in_dest links > "$B/links"
            run "$AWK$INSIDE" "$B/links" "$B/$f" | in_dest fill
        done
        in_dest remove "$own.of"
    fi

    # What is missing now, or has other content than the index says?
    [ ! -s "$T/wrong" ] || hurt=1
    in_dest links > "$B/links"
    in_dest setids > "$B/setids"
    all=${every:-$all}
    run -v all="$all" -v hurt="$hurt" -v every="$every" -v exact="$exact" -v bare="$bare" -v nanoseconds="$nanoseconds" \
        -v me="$(id -u):$(id -g)" -v foreign_file="$T/foreign" "$AWK$SET" "$B/links" "$B/setids" "$B/doubt" "$B/use" "$B/shut"
    run "$AWK$STILL" "$B/use" "$B/lines" "$T/wrong" > "$T/still"
    version
    in_dest look < "$B/look" 3> "$B/read" >> "$T/still"
    run 'FILENAME ~ /before$/ { had[$1]; next } { split($2, f, ":") } !(f[4] in had)' "$T/before" "$B/other" | in_dest each remove
    if [ -s "$B/read" ]; then
        say "reading its files for their sha256"
        sed 's/^. [^:]*:[^:]*:\([^:]*\):\([^ ]*\) .*/\2 \1/' "$B/read" > "$B/sums"
        in_dest digest < "$B/read" |
            run "$AWK"'{ print $2 ~ /^=/ ? substr($2, 2) : enc(substr($0, 67)), $1 }' >> "$B/sums"
        sort "$B/sums" | uniq -u | sed 's/ .*/ does not have the content that the index lists/' | sort -u >> "$T/still"
    fi
    mv "$T/still" "$T/wrong" || full

    # Steps 4 and 5. Modes come last, deepest first, to keep the way open.
    in_dest another < "$B/owned" >> "$B/owners"
    sort "$B/owners" | in_dest batch chown -h
    [ -z "$touch" ] || sort "$B/times" | in_dest batch $touch
    sort -rn "$B/modes" | sed 's/^[0-9]* //' | in_dest batch chmod
    intact
    rm -rf "$B"
}

# A part goes to its place. Directories that are there stay as they are; those
# that are not come as they were, with all that was asked for below them.
move() {
    [ -w "${1%/*}" ] || chmod u+w "${1%/*}"             # it stays behind
    if [ ! -d "$1" ] || [ -h "$1" ] || [ -w "$1" ]; then mv "$1" "$2"; return; fi
    chmod u+w "$1" && mv "$1" "$2" && chmod u-w "$2"    # else its user cannot
}
left() { : > "$T/left"; flaw; }
place() {
    while take; do
        [ -e "$path" ] || [ -h "$path" ] || continue
        d=${path%/*} at=$top from=.
        while [ "$d" != . ]; do
            d=${d#./}; at=$at/${d%%/*} from=$from/${d%%/*}
            if [ -h "$at" ] || { [ -e "$at" ] && [ ! -d "$at" ]; }; then
                tell "$at is in the way of $arg; it is left in $dest"; at=; left; break
            fi
            [ -d "$at" ] || { move "$from" "$at" || left; at=; break; }
            case $d in */*) d=./${d#*/} ;; *) d=. ;; esac
        done
        [ -n "$at" ] || continue
        at=$at/${path##*/}
        if [ -e "$at" ] || [ -h "$at" ]; then
            [ -n "$force" ] || { tell "$at is there already (-f replaces it); the other is left in $dest"; left; continue; }
            remove "$at"
        fi
        move "$path" "$at" || left
    done
}

# --- The whole -----------------------------------------------------------------
[ -n "$touch" ] || tell "this touch takes no seconds: times of directories are not recovered"
want=; [ ! -s "$T/want" ] || want=1
sealed=
bands survey
bands unlock
room() {        # PLACE KEY BYTES WHAT: are there BYTES for each that the TAILs have as KEY?
    need=$(while read -r dir rest; do key "$2" "$dir/TAIL"; done < "$T/chain" |
        awk -v each="$3" '/^[0-9]+$/ { n += $1 * each } END { printf "%.0f", n / 1024 }')
    free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 && $4 ~ /^[0-9]+$/ { print $4 }')
    [ "$need" -le "${free:-$need}" ] || say "$4 may have $need KiB, and there is room for $free KiB"
}
room "$T" entries 300 "$T: the lists"
if [ -z "$list" ]; then
    near=$dest; while [ ! -d "$near" ]; do near=$(dirname "$near"); done
    [ -n "$want" ] || room "$near" bytes 1 "$shown: the files"
    bands verify
fi
bands read_indexes
[ -z "$want" ] || sought
bands plan
if [ -n "$list" ]; then
    : > "$T/version"
    bands list_version
    export word
    sort -u "$T/version" |
        run "$AWK"'BEGIN { w = ENVIRON["word"] } w == "" || index($1, w) || index($1, enc(w))' > "$T/found"
    cat "$T/found"
    [ -s "$T/found" ] || tell "no path of this version has $word in it"
    [ ! -e "$T/flaw" ] || exit 1
    exit 0
fi
if [ -n "$want" ] && [ ! -s "$T/seen" ]; then die "nothing of what was asked for is in this version (-l lists it)"; fi
mkdir -p "$dest" && dest=$(cd -P "$dest" && pwd -P && echo .) || die "cannot make $shown"
dest=${dest%??}         # the dot keeps a newline that ends the name
top=$dest
if [ -n "$want" ]; then
    dest=$dest/$own
    mkdir -m 700 "$dest" || die "cannot make $dest"
fi
: > "$T/wrong"; : > "$T/marked"; : > "$T/had"; echo . > "$T/version"
in_dest everything > "$T/before"
in_dest inodes > "$T/linked"
bands recover

# What is in no index, and was not in DEST before?
{ cut -d ' ' -f 1 "$T/version"; cat "$T/before"; } | sort -u > "$T/known"
in_dest everything | sort "$T/known" "$T/known" - | uniq -u > "$T/unlisted"
if [ -n "$want" ]; then
    run "$AWK"'{ print item("-", $1) }' "$T/unlisted" | in_dest each remove
    run "$AWK"'FILENAME ~ /version$/ { there[$1]; next }
        found() { if (path in there) print item(path, path); else tell(path ": not in this version") }' "$T/version" "$T/want" > "$T/items"
    in_dest place < "$T/items"
    chmod u+rwx "$dest"; find "$dest" -type d ! -perm -700 -exec chmod u+rwx {} \;
    [ -e "$T/left" ] || remove "$dest"
elif [ -s "$T/unlisted" ]; then
    what='in no index; removed'; [ ! -e "$T/unindexed" ] || what='in no index that can be read'
    run -v what="$what" "$AWK"'{ tell($1 ": " what); print item("-", $1) }' "$T/unlisted" > "$T/items"
    [ -e "$T/unindexed" ] || in_dest each remove < "$T/items"
fi

sort -u "$T/wrong" | while read -r path what; do tell "$path: $what"; done
[ ! -e "$T/foreign" ] || say "owners are not recovered: only root can do that"
[ $kind != other ] || say "this tar keeps times to the second; with GNU tar or bsdtar they are exact"
[ -z "$unfinished" ] || say "$unfinished"
intact
[ ! -e "$T/flaw" ] || exit 1
say "done"
