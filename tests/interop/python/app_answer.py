"""An app that answers each request of a type with what came, backwards: app_answer.py CONFIG TYPE"""
import asyncio
import sys

import common


async def main(config, message_type):
    api = common.api(config)

    async def received(logger, header, data, binary):
        await api.send_message(
            message_type=message_type,
            destination_id=header["source_id"],
            response_id=header["request_id"],
            data=data[::-1],
            data_is_json=False,
            binary=binary[::-1] if binary else None,
        )

    await api.start_waiting_for_messages(message_type=message_type, message_received_cb=received)
    common.say("ready")
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
