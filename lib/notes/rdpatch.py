#!/usr/bin/env python3
"""usage: python3 rdpatch.py BASE DELTA NEW

Makes the file NEW of BASE and DELTA, as `rdiff patch` does. For a delta without a base, BASE is
/dev/null. NEW must not be there. If anything is wrong, it says what, and NEW is not to be used.
Copies of a delta of Dura only go forward in BASE. RECOVER.txt says when this is needed.
"""
import os
import sys


def fail(why):
    sys.exit('rdpatch.py: ' + why)


def number(size):
    data = delta.read(size)
    if len(data) < size:
        fail('the delta is cut off')
    return int.from_bytes(data, 'big')


def put(source, size):
    while size > 0:
        data = source.read(min(size, 1 << 20))
        if not data:
            fail('%s ends too early' % source.name)
        if data.count(0) == len(data):
            new.seek(len(data), os.SEEK_CUR)  # a hole
        else:
            new.write(data)
        size -= len(data)


if len(sys.argv) != 4:
    sys.exit(__doc__)
try:
    base, delta = open(sys.argv[1], 'rb'), open(sys.argv[2], 'rb')
    new = open(sys.argv[3], 'xb')
    if number(4) != 0x72730236:
        fail('%s is no delta' % sys.argv[2])
    at = 0
    while True:
        command = number(1)
        if command == 0:
            break
        if command <= 68:
            size = command if command <= 64 else number(1 << command - 65)
            if size == 0:
                fail('the delta has a bad command')
            put(delta, size)
        elif command <= 84:
            start = number(1 << (command - 69) // 4)
            size = number(1 << (command - 69) % 4)
            if start < at or size == 0:
                fail('the delta goes back in its base')
            if start > at:
                base.seek(start)
            put(base, size)
            at = start + size
        else:
            fail('the delta has a bad command')
    if delta.read(1):
        fail('something follows the end of the delta')
    new.truncate()
    new.close()
except OSError as error:
    fail(str(error))
