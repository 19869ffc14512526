"""What the scripts share."""
import json
import logging
import os
import sys

import aioconnectors


def logger():
    """A logger to stderr, which the tests keep for their failure messages."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    log = logging.getLogger("aioconnectors")
    log.addHandler(handler)
    log.setLevel(os.environ.get("AIOCONNECTORS_PYTHON_LOG", "WARNING"))
    return log


def folders(path):
    """The folders that the package would otherwise make under /var/tmp before it reads its config."""
    with open(path) as file:
        folder = json.load(file)["connector_files_dirpath"]
    return {"connector_files_dirpath": folder, "default_logger_dirpath": folder}


def api(path, **arguments):
    return aioconnectors.ConnectorAPI(config_file_path=path, logger=logger(), **folders(path), **arguments)


def arguments(header):
    """The arguments of ConnectorAPI.send_message that make this header."""
    names = ("message_type", "destination_id", "request_id", "response_id", "tag", "wait_for_ack", "with_file")
    return {name: header[name] for name in names if name in header}


def say(word):
    print(word, flush=True)
