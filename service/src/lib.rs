//! What every service of ours is made of, whatever it is for.
//!
//! A service reads its settings and waits for signals by [`lifecycle`], serves its routes by [`http`], answers errors by
//! [`problem`], lets its callers in by [`token`], and reads their bodies by [`json`]. With the feature `amqp` it reaches
//! a broker by [`amqp`]. [`simulation`] makes it slow or faulty on request, and [`crash`] ends it in fault tests.

#[cfg(feature = "amqp")]
pub mod amqp;
pub mod crash;
pub mod http;
pub mod json;
pub mod lifecycle;
pub mod problem;
pub mod simulation;
pub mod token;
