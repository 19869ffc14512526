"""An app that sends requests and keeps their answers: app_ask.py CONFIG REQUESTS ANSWERS [together]

One after another, or all at once. What gets no answer is kept as a frame whose header says "none".
"""
import asyncio
import sys

import common
import frames


async def main(config, requests, answers, *manner):
    api = common.api(config)

    async def ask(header, data, binary):
        answer = await api.send_message_await_response(
            **common.arguments(header), data=data, data_is_json=False, binary=binary, await_response_timeout=60
        )
        return answer if answer and answer[0] else ({"none": True}, b"", None)

    asking = [ask(*request) for request in frames.read(requests)]
    answered = await asyncio.gather(*asking) if "together" in manner else [await one for one in asking]
    with open(answers, "wb") as file:
        for answer in answered:
            frames.write(file, *answer)
    common.say("end")


asyncio.run(main(*sys.argv[1:]))
