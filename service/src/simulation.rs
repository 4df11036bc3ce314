//! `GET|PUT /simulation`: how a service that runs can be made slow or faulty, as far as payment and the mailer have
//! it in common. What is set is lost at a restart: then, and for every field that a body leaves out, the settings count.

use std::marker::PhantomData;
use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix_web::{HttpRequest, web};
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use telemetry::Traced;
use uuid::Uuid;

use crate::http::{get, read_json, resource};
use crate::json::Object;
use crate::lifecycle::duration;
use crate::problem::{FieldError, Problem};
use crate::token::Authorized;

/// The path, with the bearer token of the service.
pub const SIMULATION: &str = "/simulation";

/// Clients wait, and claims are held, for as long as a latency lasts.
const LONGEST: Duration = Duration::from_secs(60);

/// A body has a field for each knob.
const BODY_LIMIT: usize = 4 * 1024;
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// How the knobs of the simulation stand.
#[derive(Message)]
#[rtype(result = "K")]
pub struct ReadSimulation<K: 'static>(pub PhantomData<K>);

/// Turns the knobs, until the service stops; answers how they stand then.
#[derive(Message)]
#[rtype(result = "K")]
pub struct ChangeSimulation<K: 'static>(pub K);

/// What can be simulated in one service.
pub trait Knobs: Clone + Serialize + Send + Sync + 'static {
    /// A body of `PUT`: every knob may be left out.
    type Wanted: DeserializeOwned;

    /// The knobs that are wanted; those of the settings, `start`, where they are left out.
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
    let body = read_json(&request, payload, BODY_LIMIT, BODY_DEADLINE).await?;
    let Object(wanted): Object<K::Wanted> = serde_json::from_slice(&body)?;
    let mut reader = Reader::default();
    let knobs = K::read(&wanted, &start, &mut reader);
    let knobs = reader.finish(knobs)?;
    Ok(web::Json(actor.send(Traced::new(ChangeSimulation(knobs))).await.map_err(gone)?))
}

fn gone(_: MailboxError) -> Problem {
    Problem::unavailable("The simulation can't be reached: restart the service.")
}

/// Reads the fields of a body over those of the settings, and notes what is wrong with them.
#[derive(Default)]
pub struct Reader(Vec<FieldError>);

impl Reader {
    /// `/latency`: a duration of at most a minute.
    pub fn latency(&mut self, wanted: Option<&str>, start: Duration) -> Duration {
        let Some(text) = wanted else { return start };
        let latency = duration(text).ok().filter(|latency| *latency <= LONGEST);
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

    /// What was read.
    ///
    /// # Errors
    /// Names every field that is not acceptable.
    pub fn finish<T>(self, read: T) -> Result<T, Problem> {
        if self.0.is_empty() { Ok(read) } else { Err(Problem::validation(self.0)) }
    }

    fn note(&mut self, pointer: &str, detail: &'static str) {
        self.0.push(FieldError { pointer: pointer.to_owned(), code: "value".into(), detail: detail.into() });
    }
}

/// Writes a duration the way that it is read.
///
/// # Errors
/// Those of the serializer.
pub fn in_words<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Whether something happens this time whose share of all times is `share`.
pub fn happens(share: f64) -> bool {
    unit_interval(Uuid::new_v4()) < share
}

/// A number in [0, 1) by the random bits of an id: they are the low ones in every version of UUID.
pub fn unit_interval(id: Uuid) -> f64 {
    let low = u32::try_from(id.as_u128() & u128::from(u32::MAX)).unwrap_or(u32::MAX);
    f64::from(low) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_what_the_settings_say() {
        let mut reader = Reader::default();
        assert_eq!(reader.latency(None, Duration::from_secs(3)), Duration::from_secs(3));
        assert_eq!(reader.latency(Some("20ms"), Duration::ZERO), Duration::from_millis(20));
        assert_eq!(reader.share("/failureRate", None, 0.25), 0.25);
        assert_eq!(reader.share("/failureRate", Some(1.0), 0.0), 1.0);
        assert!(reader.finish(()).is_ok());
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
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
    fn a_share_happens_about_as_often_as_it_says() {
        let happened = (0..2000).filter(|_| happens(0.3)).count();
        assert!((450..750).contains(&happened), "{happened} of 2000 at 0.3");
        assert!((0..2000).all(|_| happens(1.0) && !happens(0.0)));
    }
}
