"""An app that sends requests and keeps their answers: app_ask.py CONFIG REQUESTS ANSWERS"""
import asyncio
import sys

import common
import frames


async def main(config, requests, answers):
    api = common.api(config)
    with open(answers, "wb") as file:
        for header, data, binary in frames.read(requests):
            answer = await api.send_message_await_response(
                **common.arguments(header), data=data, data_is_json=False, binary=binary, await_response_timeout=60
            )
            if not answer:
                sys.exit(f"no answer to {header}")
            frames.write(file, *answer)
    common.say("end")


asyncio.run(main(*sys.argv[1:]))
