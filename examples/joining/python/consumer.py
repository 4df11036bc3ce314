"""Consumes the events of payment from a queue of its own, in the traces of their orders.

AMQP_URL and the variables OTEL_SERVICE_NAME and OTEL_EXPORTER_OTLP_ENDPOINT configure it.
"""

import json
import os

import pika
from opentelemetry import propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind

EXCHANGE, QUEUE = "checkout", "receipts"

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=200))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("receipts")


def receive(channel, delivery, properties, body):
    headers = {name: text(value) for name, value in (properties.headers or {}).items()}
    producer = propagate.extract(headers)
    key = delivery.routing_key
    with tracer.start_as_current_span(
        f"process {EXCHANGE}:{key}:{QUEUE}",
        context=producer,
        kind=SpanKind.CONSUMER,
        links=[Link(trace.get_current_span(producer).get_span_context())],
        attributes={
            "messaging.system": "rabbitmq",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": f"{EXCHANGE}:{key}:{QUEUE}",
            "messaging.rabbitmq.destination.routing_key": key,
            "messaging.message.id": properties.message_id,
        },
    ):
        event = json.loads(body)
        print("received", event["type"], event["data"]["orderId"], flush=True)
    # After the work: an event whose consumer ends before this is delivered again, with the same message_id.
    channel.basic_ack(delivery.delivery_tag)


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
channel.queue_bind(QUEUE, EXCHANGE, "payment.*")
channel.basic_consume(QUEUE, receive)
print("consuming", flush=True)
channel.start_consuming()
