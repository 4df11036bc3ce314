//! `GET|PUT /simulation`: makes a running service slow or faulty. The settings give the values at the start, and those of
//! each field that a body leaves out.

use std::marker::PhantomData;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use telemetry::Traced;
use tokio::time::sleep;
use uuid::Uuid;

use crate::http::{get, read_json, resource};
use crate::json::Object;
use crate::lifecycle::duration;
use crate::problem::{FieldError, Problem};
use crate::token::Authorized;

/// The path, with the bearer token of the service.
pub const SIMULATION: &str = "/simulation";

/// The longest latency: clients wait, and claims are held, for as long.
const MAX_LATENCY: Duration = Duration::from_secs(60);

/// Bytes of a body, which has a field for each knob.
const MAX_BODY: usize = 4 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// Read the knobs of the simulation.
#[derive(Message)]
#[rtype(result = "K")]
pub struct ReadSimulation<K: 'static>(pub PhantomData<K>);

/// Set the knobs until the service stops; returns them.
#[derive(Message)]
#[rtype(result = "K")]
pub struct ChangeSimulation<K: 'static>(pub K);

/// The knobs of one service.
pub trait Knobs: Clone + Serialize + Send + Sync + 'static {
    /// A body of `PUT`: every knob may be left out.
    type Wanted: DeserializeOwned;

    /// The wanted knobs, with those of `start` where they are left out.
    fn read(wanted: &Self::Wanted, start: &Self, reader: &mut Reader) -> Self;
}

/// Adds the routes for the knobs of `actor`, which start as the settings say. They need a [`Token`](crate::token::Token)
/// in the app data.
pub fn simulation_routes<A, K>(app: &mut web::ServiceConfig, actor: &Addr<A>, start: &K)
where
    A: Actor + Handler<ReadSimulation<K>> + Handler<Traced<ChangeSimulation<K>>>,
    A::Context: ToEnvelope<A, ReadSimulation<K>> + ToEnvelope<A, Traced<ChangeSimulation<K>>>,
    K: Knobs,
{
    app.app_data(web::Data::new(actor.clone())).app_data(web::Data::new(start.clone())).service(
        resource(SIMULATION, "GET, HEAD, PUT")
            .route(get().to(read::<A, K>))
            .route(web::put().to(change::<A, K>)),
    );
}

async fn read<A, K>(_: Authorized, actor: web::Data<Addr<A>>) -> Result<web::Json<K>, Problem>
where
    A: Actor + Handler<ReadSimulation<K>>,
    A::Context: ToEnvelope<A, ReadSimulation<K>>,
    K: Knobs,
{
    Ok(web::Json(actor.send(ReadSimulation(PhantomData)).await.map_err(gone)?))
}

async fn change<A, K>(
    _: Authorized,
    request: HttpRequest,
    payload: web::Payload,
    actor: web::Data<Addr<A>>,
    start: web::Data<K>,
) -> Result<web::Json<K>, Problem>
where
    A: Actor + Handler<Traced<ChangeSimulation<K>>>,
    A::Context: ToEnvelope<A, Traced<ChangeSimulation<K>>>,
    K: Knobs,
{
    let body = read_json(&request, payload, MAX_BODY, BODY_DEADLINE).await?;
    let Object(wanted): Object<K::Wanted> = serde_json::from_slice(&body)?;
    let mut reader = Reader::default();
    let knobs = K::read(&wanted, &start, &mut reader);
    let knobs = reader.finish(knobs)?;
    Ok(web::Json(actor.send(Traced::new(ChangeSimulation(knobs))).await.map_err(gone)?))
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The simulation is not available. Restart the service.")
}

/// Reads the fields of a body over those of the settings, and collects their errors.
#[derive(Default)]
pub struct Reader(Vec<FieldError>);

impl Reader {
    /// `/latency`: a duration of at most a minute.
    pub fn latency(&mut self, wanted: Option<&str>, start: Duration) -> Duration {
        let Some(text) = wanted else { return start };
        let latency = duration(text).ok().filter(|latency| *latency <= MAX_LATENCY);
        latency.unwrap_or_else(|| {
            self.note("/latency", "must be a duration such as 500ms or 2s, at most 1m");
            start
        })
    }

    /// A number from 0 to 1.
    pub fn share(&mut self, pointer: &str, wanted: Option<f64>, start: f64) -> f64 {
        let share = wanted.unwrap_or(start);
        if !(0.0..=1.0).contains(&share) {
            self.note(pointer, "must be a number from 0 to 1");
        }
        share
    }

    /// The knobs that were read.
    ///
    /// # Errors
    /// Names every field that is not valid.
    pub fn finish<T>(self, read: T) -> Result<T, Problem> {
        if self.0.is_empty() { Ok(read) } else { Err(Problem::validation(self.0)) }
    }

    fn note(&mut self, pointer: &str, detail: &'static str) {
        self.0.push(FieldError { pointer: pointer.to_owned(), code: "value".into(), detail: detail.into() });
    }
}

/// Serialises a duration in the form in which it is read.
///
/// # Errors
/// Those of the serializer.
pub fn in_words<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Waits for the latency of a simulation. tokio rounds up to a millisecond, and sets a timer for no time, too.
pub async fn pause(latency: Duration) {
    if !latency.is_zero() {
        sleep(latency).await;
    }
}

/// True with the probability `share`.
pub fn happens(share: f64) -> bool {
    share > 0.0 && unit_interval(Uuid::new_v4()) < share
}

/// A number in [0, 1) from the random bits of an id, which are the low ones in every version of UUID.
pub fn unit_interval(id: Uuid) -> f64 {
    let low = u32::try_from(id.as_u128() & u128::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(low) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_left_out_has_the_value_of_the_settings() {
        let mut reader = Reader::default();
        assert_eq!(reader.latency(None, Duration::from_secs(3)), Duration::from_secs(3));
        assert_eq!(reader.latency(Some("20ms"), Duration::ZERO), Duration::from_millis(20));
        assert_eq!(reader.share("/failureRate", None, 0.25), 0.25);
        assert_eq!(reader.share("/failureRate", Some(1.0), 0.0), 1.0);
        assert!(reader.finish(()).is_ok());
    }

    #[test]
    fn all_wrong_fields_are_named_at_once() {
        let mut reader = Reader::default();
        for latency in ["", "5", "soon", "-1s", "61s"] {
            reader.latency(Some(latency), Duration::ZERO);
        }
        for share in [-0.1, 1.01, f64::NAN] {
            reader.share("/failureRate", Some(share), 0.0);
        }
        let problem = reader.finish(()).unwrap_err();
        let pointers: Vec<&str> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, [["/latency"; 5].as_slice(), ["/failureRate"; 3].as_slice()].concat());
    }

    #[test]
    fn a_share_is_about_the_frequency_of_true() {
        let happened = (0..2000).filter(|_| happens(0.3)).count();
        assert!((450..750).contains(&happened), "{happened} of 2000 at 0.3");
        assert!((0..2000).all(|_| happens(1.0) && !happens(0.0)));
    }
}
