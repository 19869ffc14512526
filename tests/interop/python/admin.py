"""The package's admin tool: admin.py CONFIG CALL…, each CALL in JSON [METHOD, {NAME: VALUE}, ARGUMENT…]; prints the
answers by number, in JSON."""
import asyncio
import json
import sys

import aioconnectors
import common


async def main(path, *calls):
    with open(path) as file:
        config = json.load(file)
    tool = aioconnectors.ConnectorRemoteTool(
        logger=common.logger(),
        is_server=config["is_server"],
        server_sockaddr=tuple(config["server_sockaddr"]),
        client_name=config.get("client_name"),
        **common.folders(path),
    )
    for number, call in enumerate(calls):
        method, named, *arguments = json.loads(call)
        answer = await getattr(tool, method)(*arguments, **named)
        answer = answer.decode() if isinstance(answer, bytes) else str(answer)
        common.say(f"answer {number} {json.dumps(answer)}")


asyncio.run(main(*sys.argv[1:]))
