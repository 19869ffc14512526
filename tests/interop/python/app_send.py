"""An app that sends a file of frames, one after another: app_send.py CONFIG FRAMES [PIECE]

With PIECE it cuts the files that messages bring into pieces of so many bytes.
"""
import asyncio
import json
import sys

import common
import frames


def payload(data):
    """What is JSON as Python writes it goes the way that most apps go: as a value."""
    try:
        value = json.loads(data)
        if json.dumps(value).encode() == data:
            return {"data": value, "data_is_json": True}
    except ValueError:
        pass
    return {"data": data, "data_is_json": False}


async def main(config, path, piece=None):
    api = common.api(config, **({"max_size_chunk_upload": int(piece)} if piece else {}))
    count = 0
    for header, data, binary in frames.read(path):
        sent = await api.send_message(**common.arguments(header), **payload(data), binary=binary)
        if not sent:
            sys.exit(f"message {count} was not sent: {header}")
        count += 1
    common.say(f"sent {count}")


asyncio.run(main(*sys.argv[1:]))
