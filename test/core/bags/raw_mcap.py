"""Writes MCAP files record by record, in forms that rosbags does not write."""

import struct

MAGIC = b"\x89MCAP0\r\n"


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def record(opcode, content):
    return struct.pack("<BQ", opcode, len(content)) + content


def channel(number, topic, schema, encoding):
    return record(4, struct.pack("<HH", number, schema) + text(topic) + text(encoding) + struct.pack("<I", 0))


def unchunked(channels, messages):
    """An MCAP file without chunks and indexes.

    Args:
        channels: (topic, schema name, schema encoding, schema text, message encoding) of each.
        messages: (number of the channel, log time in ns, data).
    """
    body = record(1, text("ros2") + text("test"))
    for number, (topic, name, schema_encoding, schema, encoding) in enumerate(channels, 1):
        body += record(3, struct.pack("<H", number) + text(name) + text(schema_encoding) + text(schema))
        body += channel(number, topic, number, encoding)
    for number, log, data in messages:
        body += record(5, struct.pack("<HIQQ", number, 0, log, log) + bytes(data))
    return MAGIC + body + record(0x0F, struct.pack("<I", 0)) + record(2, struct.pack("<QQI", 0, 0, 0)) + MAGIC
