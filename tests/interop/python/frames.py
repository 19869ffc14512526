"""Files of frames, the form in which the tests and the Python apps exchange messages."""
import json
import struct


def read(path):
    """The frames of a file, one after another: header, data, binary or None."""
    with open(path, "rb") as file:
        while head := file.read(4):
            body = file.read(*struct.unpack("<I", head))
            (length,) = struct.unpack_from("<H", body)
            header = json.loads(body[2 : 2 + length])
            data, rest = take(body[2 + length :])
            yield header, data, take(rest)[0] if header.get("with_binary") else None


def take(rest):
    (length,) = struct.unpack_from("<I", rest)
    return rest[4 : 4 + length], rest[4 + length :]


def write(file, header, data, binary):
    """Appends a frame to an open file."""
    head = json.dumps(header).encode()
    body = struct.pack("<H", len(head)) + head + struct.pack("<I", len(data)) + data
    if header.get("with_binary"):
        body += struct.pack("<I", len(binary)) + binary
    file.write(struct.pack("<I", len(body)) + body)
