#!/usr/bin/env python3
"""Rebuilds lost and damaged objects of a band from parity. Needs Python 3 and nothing else.

    cd ARCHIVE/BAND; python3 rsrepair.py 00000/000000000-0.sha256

The list names up to K objects and M parity shards, with a sha256 of each MiB of each. Of each
row (the same MiB of all of them) any M may be lost. An object is put in place only when all of
it has the listed sha256. Exit status: 0 when all that is listed is right now, 2 when not; what
cannot be rebuilt is named, and not touched.

The code is Reed-Solomon over GF(256) with the polynomial 0x11D, as Backblaze has it. Byte by
byte, shard x is the value at x of the one polynomial of degree below K that has the bytes of
objects 0 to K-1 as its values there; ends of short objects and empty slots are zeros. So any K
give all others, by Lagrange's formula. Adding is XOR.
"""
import hashlib, os, re, signal, sys

MIB = 1 << 20
LIST = re.compile(r"#dura group 1\n#group ([0-9]{9})-([0-9]{1,9})(?:\.[0-9]{1,9})? slots=([0-9]{1,3})"
                  r" parity=([0-9]{1,3})")
NAME = r"HEAD|RECOVER\.txt|recover\.sh|rsrepair\.py|rdpatch\.py|[0-9]{5}/[0-9]{9}[-.][0-9a-z.]+"
OBJECT = re.compile(rf"#object ([0-9]{{1,10}}) ({NAME})((?: [0-9a-f]{{64}})*)\n([0-9a-f]{{64}})  \2")

EXP = [1]  # the powers of 2 in the field, and their logarithms
while len(EXP) < 255:
    EXP.append(EXP[-1] << 1 ^ (0x11D if EXP[-1] > 127 else 0))
LOG = {power: exponent for exponent, power in enumerate(EXP)}

def factor(wanted, point, known):  # logarithm of what the shard at a point counts for in the wanted one
    return sum(LOG[wanted ^ other] - LOG[point ^ other] for other in known if other != point)

def times(log, data):  # each byte multiplied by the factor with this logarithm
    return data.translate(bytes([0] + [EXP[(LOG[byte] + log) % 255] for byte in range(1, 256)]))

def end(text):
    print("rsrepair.py:", text, file=sys.stderr)
    sys.exit(2)

class Shard:
    def __init__(self, point, size, name, pieces, sha256):
        self.point, self.size, self.name, self.pieces, self.sha256 = point, int(size), name, pieces.split(), sha256
        self.hash, self.new = hashlib.sha256(), None

    def length(self, row):
        return max(0, min(MIB, self.size - row * MIB))

    def piece(self, row):  # as it is stored; None if that is not what the list says
        try:
            if os.path.isfile(self.name):
                with open(self.name, "rb") as file:
                    file.seek(row * MIB)
                    data = file.read(self.length(row))
                return data if hashlib.sha256(data).hexdigest() == self.pieces[row] else None
        except OSError: return None  # a bad sector is damage like any other

def read_list(path):  # anyone may have written it: nothing is believed unseen
    with open(path, encoding="latin-1", newline="\n") as file:
        lines = [line for line in file.read(64 * MIB).split("\n") if not re.match("#(?!dura |group |object )", line)]
    group, rest = LIST.fullmatch("\n".join(lines[:2])), lines[2:-1]
    found = [OBJECT.fullmatch("\n".join(rest[at:at + 2])) for at in range(0, len(rest), 2)]
    if not group or not all(found) or lines[-1]:
        end(f"{path}: damaged, or no list that this script knows")
    number, counter, slots, parity = map(int, group.groups())
    objects = len(found) - parity
    shards = [Shard(at if at < objects else slots + at - objects, *match.groups()) for at, match in enumerate(found)]
    stem, names = f"{number // 10000:05}/{number:09}-{counter}.rs", [shard.name for shard in shards]
    if not 1 <= objects <= slots <= 256 - parity or len(set(names)) < len(names) \
            or any(len(shard.pieces) != -(-shard.size // MIB) or shard.size > 2 << 30 for shard in shards) \
            or any("-" in name and not name.endswith(".key.gpg") for name in names[:objects]) \
            or names[objects:] != [f"{stem}{j}" for j in range(parity)] \
            or any(shard.size != max(other.size for other in shards[:objects]) for shard in shards[objects:]):
        end(f"{path}: refused: no program makes such a list")
    return slots, parity, shards

def rebuild(slots, shards, bad, row):  # the bad pieces of a row
    data = [shard for shard in shards if shard.length(row)]
    zeros = set(range(slots)) - {shard.point for shard in data}
    good = [shard for shard in data if shard not in bad][:slots - len(zeros)]
    known, sums = zeros.union(shard.point for shard in good), dict.fromkeys(bad, 0)
    for shard in good:
        piece = shard.piece(row) or end(f"{shard.name}: has changed just now")
        for wanted in bad:
            sums[wanted] ^= int.from_bytes(times(factor(wanted.point, shard.point, known), piece), "little")
    return {wanted: sums[wanted].to_bytes(MIB, "little")[:wanted.length(row)] for wanted in bad}

def write(slots, shards, bad, todo):  # what is to be done, beside what is there; then puts it in its place
    for shard in todo:
        folder = os.path.dirname(shard.name) or "."
        if os.path.islink(folder): end(f"{folder}: a symbolic link: nothing is written through it")
        os.makedirs(folder, exist_ok=True)
        shard.new = open(f"{shard.name}.{os.getpid()}.new", "xb")
    for row, some in enumerate(bad):
        made = rebuild(slots, shards, some, row) if set(todo) & set(some) else {}
        for shard in (shard for shard in todo if shard.length(row)):
            data = made.get(shard) or shard.piece(row) or end(f"{shard.name}: has changed just now")
            shard.hash.update(data)
            shard.new.write(data)
    for shard in todo:
        shard.new.flush(), os.fsync(shard.new.fileno())
        if shard.hash.hexdigest() != shard.sha256:
            end(f"{shard.name}: what was rebuilt is not what was listed: the list or the parity is wrong")
        os.replace(shard.new.name, shard.name)
        print(f"{shard.name}: rebuilt")

def main(path):
    slots, parity, shards = read_list(path)
    rows = range(max(len(shard.pieces) for shard in shards))
    bad = [[s for s in shards if s.length(row) and s.piece(row) is None] for row in rows]
    lost = {shard: 1 for some in bad if len(some) > parity for shard in some}
    sizes = {s: os.path.getsize(s.name) if os.path.isfile(s.name) else -1 for s in shards}
    todo = [s for s in shards if s not in lost and (sizes[s] != s.size or any(s in some for some in bad))]
    try:
        write(slots, shards, bad, todo)
    finally:
        for shard in todo:
            if shard.new and os.path.exists(shard.new.name): os.remove(shard.new.name)
    if lost:
        end(f"cannot be rebuilt, as more is lost than parity {parity} gives back: {' '.join(s.name for s in lost)}")

for number in (signal.SIGTERM, signal.SIGHUP): signal.signal(number, lambda *_: sys.exit(2))  # by way of finally
if len(sys.argv) != 2: end("usage: cd BAND; python3 rsrepair.py NNNNN/NNNNNNNNN-C.sha256")
try: print(__doc__.strip(), flush=True) if sys.argv[1] in ("-h", "--help") else main(sys.argv[1])
except OSError as why: end(f"{why.filename or sys.argv[1]}: {why.strerror}")
