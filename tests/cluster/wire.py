"""What a kubelet and its plugins say to each other: messages as bytes, and gRPC services on sockets.

Knows no service. Fields are text, bytes or messages, which is all that is needed here.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc


def number(value):
    low, high = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + number(high) if high else bytes([low])


def field(key, value):
    value = value.encode() if isinstance(value, str) else value
    return number(key << 3 | 2) + number(len(value)) + value


def entry(key, name, value):
    """One of a map."""
    return field(key, field(1, name) + field(2, value))


def fields(message):
    """The fields of a message, by their numbers, in their order. Each is shorter than 128 bytes."""
    while message:
        length = message[1]
        assert message[0] & 7 == 2 and length < 128, message
        yield message[0] >> 3, message[2 : 2 + length]
        message = message[2 + length :]


def call(socket, method, message):
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        return channel.unary_unary(method)(message, timeout=30)


def serve(socket, service, methods):
    """Serves until it is stopped. A method is a function of a message; one that yields streams what it yields."""
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    return server


def answers(method):
    return grpc.unary_unary_rpc_method_handler(lambda request, context: method(request))


def streams(method):
    return grpc.unary_stream_rpc_method_handler(lambda request, context: method())
