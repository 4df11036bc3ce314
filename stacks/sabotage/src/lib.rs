//! What the fault tests do to the services from inside: end them at a named point of the code, or give them a
//! bug, so that the checker can be seen to catch it.
//!
//! Both are told by the environment and exist with the feature `armed` alone; a release build with that feature
//! does not compile. Without it, each call is nothing.
//!
//! | variable | meaning |
//! |---|---|
//! | `SABOTAGE_CRASH=<point>[:<n>]` | SIGKILL when this point is passed for the n-th time, at first by default |
//! | `SABOTAGE_BUGS=<bug>[,<bug>…]` | these bugs are there |

#[cfg(all(feature = "armed", not(debug_assertions)))]
compile_error!("sabotage is for tests: a release build must not contain it");

/// A named point, `<service>.<where>`: the process ends here, as in a crash, when `SABOTAGE_CRASH` says so.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub const fn point(_: &str) {}

/// Whether the service is to have this bug, `<service>.<what>`.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub const fn bug(_: &str) -> bool {
    false
}

#[cfg(feature = "armed")]
pub use armed::{bug, point};

#[cfg(feature = "armed")]
mod armed {
    use std::collections::HashSet;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Crash {
        point: String,
        passes: AtomicU32,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let setting = variable("SABOTAGE_CRASH")?;
        let (point, passes) = setting.split_once(':').unwrap_or((&setting, "1"));
        Some(Crash { point: point.to_owned(), passes: AtomicU32::new(passes.parse().unwrap_or(1)) })
    });

    static BUGS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let bugs = variable("SABOTAGE_BUGS").unwrap_or_default();
        bugs.split(',').map(str::to_owned).collect()
    });

    fn variable(name: &str) -> Option<String> {
        std::env::var_os(name)?.into_string().ok()
    }

    /// A named point, `<service>.<where>`: the process ends here, as in a crash, when `SABOTAGE_CRASH` says so.
    pub fn point(name: &str) {
        if let Some(crash) = &*CRASH
            && crash.point == name
            && crash.passes.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // SIGKILL can't fail for oneself, and nothing runs after it.
            let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        }
    }

    /// Whether the service is to have this bug, `<service>.<what>`.
    pub fn bug(name: &str) -> bool {
        BUGS.contains(name)
    }
}
