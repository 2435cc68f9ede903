"""Flower's SecAgg+: its client modifier and its server workflow as they are, one beside the other in this process, without a network.

The first `real` clients are Flower's own to the last line and are timed. The others differ in one thing: their secrets are shared by polynomials of degree 1,
which the server combines by the same work, because Shamir's sharing in Python takes each client seconds.
"""

import logging
import sys
import time
from types import SimpleNamespace

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.message_type import MessageType
from flwr.client.mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat as compat
from flwr.common.serde import recorddict_to_proto
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.supercore.task_identity import TaskIdentity

import turns

logging.disable(logging.INFO)
mod = sys.modules[secaggplus_mod.__module__]
job = turns.job()
# What a message says of where it comes from.
TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, 0
MEMBERS, REAL, CELLS = job["members"], job["real"], job["cells"]
VALUE = 1.5


def cheap_shares(secret, threshold, number):
    """Shares of each block of 16 bytes on a random polynomial of degree 1 over the field that Flower's library uses."""
    from Crypto.Protocol.SecretSharing import _Element
    from Crypto.Random import get_random_bytes
    from Crypto.Util.Padding import pad

    padded = pad(secret, 16)
    shares = [bytearray(index.to_bytes(4, "little")) for index in range(1, number + 1)]
    for start in range(0, len(padded), 16):
        constant, slope = _Element(padded[start : start + 16]), _Element(get_random_bytes(16))
        for index, share in enumerate(shares, 1):
            share += (slope * _Element(index) + constant).encode()
    return [bytes(share) for share in shares]


class Clients:
    """All clients, called as the server's grid calls them over a network."""

    def __init__(self):
        self.contexts = {}
        self.seconds = {}
        self.bytes = {}
        self.elsewhere = 0.0

    def client(self, node):
        if node not in self.contexts:
            self.contexts[node] = Context(1, node, {}, RecordDict(), {})
            self.seconds[node], self.bytes[node] = 0.0, 0
        return self.contexts[node]

    def call(self, message):
        node = message.metadata.dst_node_id
        context = self.client(node)

        def train(asked, _):
            fitted = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.full(CELLS, VALUE)]), 1, {})
            return Message(compat.fitres_to_recorddict(fitted, False), reply_to=asked)

        real = node <= REAL
        size = recorddict_to_proto(message.content).ByteSize() if real else 0
        original, mod.create_shares = mod.create_shares, mod.create_shares if real else cheap_shares
        start = time.process_time()
        reply = secaggplus_mod(message, context, train)
        self.seconds[node] += time.process_time() - start
        mod.create_shares = original
        if real:
            self.bytes[node] += size + recorddict_to_proto(reply.content).ByteSize()
        return reply

    def send_and_receive(self, messages, timeout=None):
        start = time.process_time()
        # What a client is sent is its own to change.
        copies = [Message(copy(message.content), dst_node_id=message.metadata.dst_node_id, message_type=MessageType.TRAIN) for message in messages]
        replies = [self.call(message) for message in copies]
        self.elsewhere += time.process_time() - start
        return replies


def copy(content):
    configs = {name: ConfigRecord(dict(record)) for name, record in content.config_records.items()}
    whole = RecordDict(configs)
    for name, record in content.array_records.items():
        whole.array_records[name] = record
    for name, record in content.metric_records.items():
        whole.metric_records[name] = record
    for name, record in content.config_records.items():
        whole.config_records[name] = configs[name]
    return whole


class Strategy:
    """Asks everyone, and keeps the average."""

    average = None

    def configure_fit(self, server_round, parameters, client_manager):
        asked = FitIns(Parameters([], "numpy.ndarray"), {})
        return [(SimpleNamespace(node_id=node), asked) for node in range(1, MEMBERS + 1)]

    def aggregate_fit(self, server_round, results, failures):
        assert not failures, failures
        self.average = parameters_to_ndarrays(results[0][1].parameters)[0]
        return None, {}


def ask():
    clients, strategy = Clients(), Strategy()
    context = Context(1, 0, {}, RecordDict(), {})
    context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({Key.CURRENT_ROUND: 1})
    context.state.array_records[MAIN_PARAMS_RECORD] = compat.parameters_to_arrayrecord(Parameters([], "numpy.ndarray"), True)
    legacy = LegacyContext(context, strategy=strategy, client_manager=SimpleNamespace(num_available=lambda: MEMBERS))
    workflow = SecAggPlusWorkflow(job["shares"], job["threshold"], max_weight=1.0)
    start = time.process_time()
    workflow(clients, legacy)
    server = time.process_time() - start - clients.elsewhere
    assert strategy.average is not None and np.abs(strategy.average - VALUE).max() < 1e-4, strategy.average
    real = range(1, REAL + 1)
    return {"server": server, "clients": [clients.seconds[node] for node in real], "bytes": [clients.bytes[node] for node in real]}


turns.serve("flwr", ask)
