"""Makes every kind of call, and prints one line for each: its name and how it ended.

usage: client.py ADDRESS TOKEN [CA_FILE]
"""
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE = "cellway.test.Calls"
# Far above what any call takes that isn't meant to end by its deadline.
PATIENCE = 60


def numbered(count):
    return (b"message %d" % i for i in range(count))


class Calls:
    def __init__(self, channel, token):
        self.channel = channel
        self.metadata = [("authorization", "Bearer " + token)] if token != "-" else []

    def method(self, kind, name):
        return getattr(self.channel, kind)("/%s/%s" % (SERVICE, name))

    def unary(self, name, request, timeout=PATIENCE, more=()):
        call = self.method("unary_unary", name)
        return call.with_call(request, timeout=timeout, metadata=self.metadata + list(more))

    def stream(self, name, request, timeout=PATIENCE):
        call = self.method("unary_stream", name)
        return call(request, timeout=timeout, metadata=self.metadata)


def answered(calls):
    answer, call = calls.unary("Unary", b"hi", more=[("x-sent", "a"), ("x-sent-bin", b"\x01\xfe")])
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    return answer, initial.get("x-initial"), trailing.get("x-trailing"), trailing.get("x-trailing-bin")


def empty(calls):
    return calls.unary("Unary", b"")[0]


def large(calls):
    answer, _ = calls.unary("Unary", b"y" * (8 << 20))
    return len(answer)


def many(calls):
    return [len(answer) for answer in calls.stream("Many", b"200")] == list(range(200))


def gather(calls):
    call = calls.method("stream_unary", "Gather")
    return call(numbered(500), timeout=PATIENCE, metadata=calls.metadata)


def talk(calls):
    call = calls.method("stream_stream", "Talk")
    answers = call(numbered(100), timeout=PATIENCE, metadata=calls.metadata)
    return sum(answer == request[::-1] for request, answer in zip(numbered(100), answers))


def status(number):
    return lambda calls: calls.unary("Fail", b"%d" % number)


def breaks_off(calls):
    seen = []
    try:
        for answer in calls.stream("BreakOff", b""):
            seen.append(answer)
    except grpc.RpcError as error:
        return seen, error.code().name, error.details()


def unknown_method(calls):
    return calls.unary("Nothing", b"")


def deadline_arrives(calls):
    left = int(calls.unary("Remaining", b"", timeout=45)[0])
    return 30_000 < left < 60_000 or left


def no_deadline(calls):
    # Without a deadline, this is about the largest time that there is.
    return int(calls.unary("Remaining", b"", timeout=None)[0]) > 10**15


def deadline_ends_it(calls):
    """Only the code: whether the client or the router notices first decides the words."""
    try:
        return calls.unary("Hang", b"", timeout=0.3)
    except grpc.RpcError as error:
        return error.code().name


def deadline_ends_a_stream(calls):
    seen = []
    try:
        for answer in calls.stream("HangLater", b"", timeout=0.5):
            seen.append(answer)
    except grpc.RpcError as error:
        return seen, error.code().name


def cancelled(calls):
    call = calls.stream("HangLater", b"")
    first = next(call)
    call.cancel()
    try:
        next(call)
    except grpc.RpcError as error:
        return first, error.code().name


def health(service):
    def check(calls):
        request = health_pb2.HealthCheckRequest(service=service)
        stub = health_pb2_grpc.HealthStub(calls.channel)
        return stub.Check(request, timeout=PATIENCE, metadata=calls.metadata).status

    return check


def watch(calls):
    request = health_pb2.HealthCheckRequest(service="")
    stub = health_pb2_grpc.HealthStub(calls.channel)
    call = stub.Watch(request, timeout=PATIENCE, metadata=calls.metadata)
    first = next(call).status
    call.cancel()
    return first


CASES = {
    "answered": answered,
    "empty": empty,
    "large": large,
    "many": many,
    "gather": gather,
    "talk": talk,
    **{"status %d" % number: status(number) for number in range(1, 17)},
    "breaks off": breaks_off,
    "unknown method": unknown_method,
    "deadline arrives": deadline_arrives,
    "no deadline": no_deadline,
    "deadline ends it": deadline_ends_it,
    "deadline ends a stream": deadline_ends_a_stream,
    "cancelled": cancelled,
    "health": health(""),
    "health of a service": health(SERVICE),
    "health of nothing": health("nothing"),
    "watch": watch,
}


def main():
    address, token, *ca = sys.argv[1:]
    # A router that listens on loopback must not be reached through a proxy.
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20)]
    if ca:
        with open(ca[0], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    calls = Calls(channel, token)
    for name, case in CASES.items():
        try:
            outcome = "%r" % (case(calls),)
        except grpc.RpcError as error:
            outcome = "%s: %s" % (error.code().name, error.details())
        print("%s: %s" % (name, outcome), flush=True)


main()
