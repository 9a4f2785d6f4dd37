"""A gRPC server with one method for each way in which a call can end. Prints its port. Ends with its input."""
import sys
import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

SERVICE = "cellway.test.Calls"


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    context.send_initial_metadata([("x-initial", "1")])
    context.set_trailing_metadata([("x-trailing", "2"), ("x-trailing-bin", b"\x00\xff")])
    return b"|".join([request, metadata.get("x-sent", "").encode(), metadata.get("x-sent-bin", b"")])


def many(request, context):
    for i in range(int(request)):
        yield b"x" * i


def gather(requests, context):
    return str(sum(len(request) for request in requests)).encode()


def talk(requests, context):
    for request in requests:
        yield request[::-1]


def fail(request, context):
    # Nothing was sent, so this is an answer of trailers only.
    context.abort(grpc.StatusCode(by_number(int(request))), "as asked: %d \u00e9" % int(request))


def by_number(number):
    return next(code.value for code in grpc.StatusCode if code.value[0] == number)


def break_off(request, context):
    yield b"one"
    yield b"two"
    context.abort(grpc.StatusCode.DATA_LOSS, "after two")


def remaining(request, context):
    left = context.time_remaining()
    return b"none" if left is None else str(int(left * 1000)).encode()


def hang(request, context):
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(30)
    return b""


def hang_later(request, context):
    yield b"one"
    gone = threading.Event()
    context.add_callback(gone.set)
    gone.wait(30)


METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Many": grpc.unary_stream_rpc_method_handler(many),
    "Gather": grpc.stream_unary_rpc_method_handler(gather),
    "Talk": grpc.stream_stream_rpc_method_handler(talk),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "BreakOff": grpc.unary_stream_rpc_method_handler(break_off),
    "Remaining": grpc.unary_unary_rpc_method_handler(remaining),
    "Hang": grpc.unary_unary_rpc_method_handler(hang),
    "HangLater": grpc.unary_stream_rpc_method_handler(hang_later),
}


def main():
    options = [("grpc.max_receive_message_length", 64 << 20)]
    server = grpc.server(futures.ThreadPoolExecutor(16), options=options)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, METHODS)])
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    servicer.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0)


main()
