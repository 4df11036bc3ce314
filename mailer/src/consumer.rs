//! The actor Consumer: takes deliveries from the broker into the inbox.
//!
//! Receives deliveries as a stream, over one link to the broker after the other, and [`StopConsuming`] at the end; sends
//! [`SendDueEmails`] to the postman. Deliveries that have arrived together are handled together, one group at a time: events are
//! acknowledged with one answer after their rows are committed, messages that can't be read are parked, and everything
//! else is left with the broker, which delivers it again.

mod group;

use std::sync::Arc;

use actix::prelude::*;
use futures_util::{Stream, StreamExt, stream};
use lapin::message::Delivery;
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use payment_api::topology;
use service::amqp::{Broker, BrokerError, Connection, Link};
use slog::{Logger, info};

use self::group::Shared;
use crate::metrics::Metrics;
use crate::postman::SendDueEmails;
use crate::store::Store;

/// Take no more deliveries, finish the group that is being handled, and close the connection.
#[derive(Message)]
#[rtype(result = "()")]
pub struct StopConsuming;

/// Deliveries in flight at once, and so the largest group.
const PREFETCH: u16 = 256;
const TAG: &str = "mailer";

/// The consumer of payment events.
pub struct Consumer {
    connection: Connection<lapin::Consumer>,
    shared: Shared,
}

impl Consumer {
    /// A consumer that writes into the inbox in `store` and sends `postman` a message about new events, connected to `broker`
    /// from now on.
    pub fn new(
        broker: Arc<Broker>,
        store: Store,
        postman: Recipient<SendDueEmails>,
        metrics: Metrics,
        log: &Logger,
    ) -> Self {
        let log = log.new(slog::o!("omnitrace.actor" => "consumer"));
        let connection = Connection::open(broker, "email-service consumer", consume, &log);
        connection.show_in(metrics.broker_connected.clone());
        Self { connection, shared: Shared { store, postman, metrics, log } }
    }

    /// The connection to the broker; it is up while deliveries can arrive.
    pub fn connection(&self) -> Connection<lapin::Consumer> {
        self.connection.clone()
    }
}

async fn consume(link: &Link) -> Result<lapin::Consumer, BrokerError> {
    link.channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let (queue, options) = (topology::MAILER_QUEUE.into(), BasicConsumeOptions::default());
    Ok(link.channel.basic_consume(queue, TAG.into(), options, FieldTable::default()).await?)
}

/// The deliveries over one link after the other, until the connection is closed.
fn deliveries(
    connection: Connection<lapin::Consumer>,
    log: Logger,
) -> impl Stream<Item = lapin::Result<Delivery>> {
    let consumers = stream::unfold((connection, None::<Arc<Link>>), move |(connection, last)| {
        let log = log.clone();
        async move {
            if let Some(last) = last {
                // The end of the deliveries is the end of the link, also where it is still open.
                last.give_up();
            }
            let (link, consumer) = connection.next().await?;
            info!(log, "consuming"; "messaging.queue" => topology::MAILER_QUEUE);
            Some((consumer, (connection, Some(link))))
        }
    });
    consumers.flatten()
}

impl Actor for Consumer {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let deliveries = deliveries(self.connection(), self.shared.log.clone());
        context.add_stream(deliveries.ready_chunks(usize::from(PREFETCH)));
    }
}

impl StreamHandler<Vec<lapin::Result<Delivery>>> for Consumer {
    fn handle(&mut self, group: Vec<lapin::Result<Delivery>>, context: &mut Self::Context) {
        let shared = self.shared.clone();
        // The context waits: the next group gathers meanwhile, and [`StopConsuming`] is handled after this one.
        context.wait(async move { shared.take(group).await }.into_actor(self));
    }
}

impl Handler<StopConsuming> for Consumer {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: StopConsuming, _: &mut Self::Context) -> Self::Result {
        let connection = self.connection();
        // The broker takes back the deliveries that are not acknowledged when the link closes.
        Box::pin(async move { connection.close().await })
    }
}
