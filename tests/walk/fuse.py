#!/usr/bin/env python3
"""A file system in which entries go wrong, for tests of the walk.

usage: fuse.py typed|untyped DIR KIND...      mounts it, and stays in the background
       fuse.py foreign DIR...                 mounts what nobody here may look at

In DIR there are directories KIND-first, KIND-middle and KIND-last. Each has b/f, c/CACHEDIR.TAG,
c/x and y/f, and one entry that goes wrong, called a, m or z. It speaks the kernel's protocol by
itself, so that nothing needs to be installed. `untyped` says of no entry what it is.
"""
import ctypes, errno, os, signal, stat, struct, sys

TAG = b"Signature: 8a477f597d28d172789f06886806bc55\n"
DIR, FILE, LINK = stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777
ODD = {b"first": b"a", b"middle": b"m", b"last": b"z"}


def mount(target, more):
    """Mounts at target for the user in `more`; gives the connection."""
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    data = f"fd={fd},rootmode=40000,group_id=0,{more}".encode()
    if libc.mount(b"dura-test", os.fsencode(target), b"fuse", 6, data) != 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise OSError(number, os.strerror(number), target)
    return fd


class Node:
    def __init__(self, mode, data=b"", children=None, listed=None, lookup=0, opendir=0, fails=False):
        self.mode, self.data, self.children = mode, data, children or {}
        self.listed = mode if listed is None else listed  # what the directory says it is
        self.lookup, self.opendir, self.fails = lookup, opendir, fails


def odd(kind):
    inside = {b"inside": Node(FILE, b"1\n")}
    return {
        b"plain": lambda: Node(DIR, children=inside),
        b"vanished": lambda: Node(DIR, lookup=errno.ENOENT),
        b"shut": lambda: Node(DIR, lookup=errno.EACCES),
        b"closed": lambda: Node(DIR, children=inside, opendir=errno.EACCES),
        b"removed": lambda: Node(DIR, children=inside, opendir=errno.ENOENT),
        b"broken": lambda: Node(DIR, children=inside, fails=True),
        b"exchanged": lambda: Node(LINK, b"/", listed=DIR),
        b"became": lambda: Node(DIR, children=inside, listed=FILE),
    }[kind]()


def tree(kinds):
    root = Node(DIR)
    for kind in kinds:
        for place, name in ODD.items():
            top = Node(DIR, children={
                b"b": Node(DIR, children={b"f": Node(FILE, b"1\n")}),
                b"c": Node(DIR, children={b"CACHEDIR.TAG": Node(FILE, TAG), b"x": Node(FILE, b"1\n")}),
                b"y": Node(DIR, children={b"f": Node(FILE, b"1\n")}),
            })
            top.children[name] = odd(kind)
            root.children[kind + b"-" + place] = top
    return root


def attributes(number, node):
    size = len(node.data)
    return struct.pack("<6Q10I", number, size, 1, 1, 1, 1, 0, 0, 0, node.mode, 1, 0, 0, 0, 4096, 0)


def serve(fd, root, untyped):
    nodes, numbers = {1: root}, {id(root): 1}

    def number(node):
        if id(node) not in numbers:
            numbers[id(node)] = len(numbers) + 1
            nodes[numbers[id(node)]] = node
        return numbers[id(node)]

    def answer(op, node, body):
        if op == 26:  # init
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, 0, 0, 8, 8, 4096, 1, 1, 0, 0, *[0] * 7)
        if op == 1:  # lookup
            child = node.children.get(body.split(b"\0")[0])
            if child is None:
                return errno.ENOENT
            if child.lookup:
                return child.lookup
            return struct.pack("<QQQQII", number(child), 0, 0, 0, 0, 0) + attributes(number(child), child)
        if op == 3:  # getattr
            return struct.pack("<QII", 0, 0, 0) + attributes(number(node), node)
        if op in (14, 27):  # open, opendir
            return node.opendir or struct.pack("<QII", 0, 0, 0)
        if op == 5:  # readlink
            return node.data
        if op == 15:  # read
            _, offset, size = struct.unpack("<QQI", body[:20])
            return node.data[offset:offset + size]
        if op == 28:  # readdir
            _, offset, _ = struct.unpack("<QQI", body[:20])
            names = sorted(node.children.items(), reverse=True)
            if node.fails and offset >= len(names):
                return errno.EIO
            out = b""
            for at, (name, child) in list(enumerate(names))[offset:]:
                kind = 0 if untyped else child.listed >> 12
                out += struct.pack("<QQII", number(child), at + 1, len(name), kind) + name
                out += b"\0" * (-len(out) % 8)
            return out
        return b"" if op in (18, 25, 29, 38) else errno.ENOSYS

    while True:
        try:
            request = os.read(fd, 1 << 18)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR, errno.EAGAIN):
                continue
            return
        _, op, unique, node = struct.unpack("<IIQQ", request[:24])
        if op in (2, 36, 42):  # forget, interrupt: no answer
            continue
        result = answer(op, nodes.get(node, root), request[40:])
        error, out = (-result, b"") if isinstance(result, int) else (0, result)
        try:
            os.write(fd, struct.pack("<IiQ", 16 + len(out), error, unique) + out)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise


def background():
    """Goes on in a child that the caller does not wait for."""
    if os.fork():
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)


def main():
    how, *names = sys.argv[1:]
    if how == "foreign":
        kept = []
        for target in names:
            try:
                kept.append(mount(target, "user_id=65533"))
            except OSError:
                # There is no other user here: one whose server is gone can not be looked at either.
                os.close(mount(target, "user_id=0"))
        background()
        while True:
            os.read(kept[0], 1 << 18) if kept else signal.pause()
    fd = mount(names[0], "user_id=0,allow_other")
    background()
    serve(fd, tree([os.fsencode(kind) for kind in names[1:]]), how == "untyped")


main()
