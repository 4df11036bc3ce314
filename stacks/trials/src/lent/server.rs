//! What all lent servers have in common.

use anyhow::Result;

/// A server in a directory of its own. Dropping it ends its processes and removes the directory.
pub trait Server: Sized {
    /// The variable by which programs find such a server.
    const VARIABLE: &'static str;

    /// Starts a server on free ports and waits until it can be used.
    ///
    /// # Errors
    /// When it is not installed or does not start.
    fn start() -> impl Future<Output = Result<Self>>;

    /// The variables that name this server, with their values.
    fn variables(&self) -> Vec<(&'static str, String)>;
}
