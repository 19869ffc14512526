"""An app that answers each request of a type with what came, backwards: app_answer.py CONFIG TYPE [COUNT]

With COUNT it waits for so many requests, and answers the last one first.
"""
import asyncio
import sys

import common


async def main(config, message_type, count="1"):
    api = common.api(config)
    waiting = []

    async def received(logger, header, data, binary):
        waiting.append((header, data, binary))
        if len(waiting) == int(count):
            while waiting:
                await answer(*waiting.pop())

    async def answer(header, data, binary):
        await api.send_message(
            message_type=message_type,
            destination_id=header["source_id"],
            response_id=header["request_id"],
            data=data[::-1],
            data_is_json=False,
            binary=binary[::-1] if binary else None,
        )

    # An app before it may have been killed.
    await api.start_waiting_for_messages(message_type=message_type, message_received_cb=received, reuse_uds_path=True)
    common.say("ready")
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
