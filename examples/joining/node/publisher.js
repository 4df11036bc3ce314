// Publishes one event of a payment that was settled elsewhere; the mailer sends its e-mail in the trace of this program.
// AMQP_URL and the variables OTEL_SERVICE_NAME and OTEL_EXPORTER_OTLP_ENDPOINT configure it.
"use strict";
const { randomUUID } = require("node:crypto");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-proto");
const { registerInstrumentations } = require("@opentelemetry/instrumentation");
const { AmqplibInstrumentation } = require("@opentelemetry/instrumentation-amqplib");
const { envDetector, detectResources } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const provider = new NodeTracerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
registerInstrumentations({ instrumentations: [new AmqplibInstrumentation({ useLinksForConsume: false })] });
// After the instrumentation, which puts the trace context into the headers of what this publishes.
const amqp = require("amqplib");

async function main() {
  const connection = await amqp.connect(process.env.AMQP_URL);
  const channel = await connection.createConfirmChannel();
  const event = {
    specversion: "1.0",
    id: randomUUID(),
    source: "/payment-service",
    type: "payment.succeeded",
    time: new Date().toISOString(),
    data: {
      orderId: randomUUID(),
      customer: { email: "ada@example.org" },
      items: [{ sku: "BOOK-1", quantity: 2, unitPrice: "49.99" }],
      amount: "99.98",
      currency: "USD",
    },
  };
  const properties = { messageId: event.id, contentType: "application/cloudevents+json", persistent: true };
  const tracer = provider.getTracer("joining");
  await tracer.startActiveSpan("settle payment", async (span) => {
    channel.publish("checkout", event.type, Buffer.from(JSON.stringify(event)), properties);
    await channel.waitForConfirms();
    span.setAttribute("order.id", event.data.orderId);
    span.end();
    console.log("published", event.data.orderId, span.spanContext().traceId);
  });
  await connection.close();
  await provider.shutdown();
}

main();
