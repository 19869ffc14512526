"""An app that keeps all messages of a type until one with the tag "end": app_recv.py CONFIG TYPE FRAMES"""
import asyncio
import sys

import common
import frames


async def main(config, message_type, path):
    api = common.api(config)
    ended = asyncio.Event()
    with open(path, "wb") as file:

        async def received(logger, header, data, binary):
            frames.write(file, header, data, binary)
            if header.get("tag") == "end":
                ended.set()

        await api.start_waiting_for_messages(message_type=message_type, message_received_cb=received)
        common.say("ready")
        await ended.wait()
        api.stop_waiting_for_messages(message_type=message_type)
    common.say("end")


asyncio.run(main(*sys.argv[1:]))
