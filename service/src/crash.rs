//! Named points of the code at which the fault tests end a service.
//!
//! `CRASH_POINTS=<point>[:<n>]` ends the process by SIGKILL when it passes this point for the n-th time, the first by
//! default. Without the feature `crash-points` a point compiles to nothing, and a release build with that feature does
//! not compile.

#[cfg(all(feature = "crash-points", not(debug_assertions)))]
compile_error!("the feature crash-points is for tests: a release build must not contain it");

/// A point named `<service>.<where>`.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub const fn point(_: &str) {}

#[cfg(feature = "crash-points")]
pub use armed::point;

#[cfg(feature = "crash-points")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    struct Crash {
        point: String,
        passes: AtomicU32,
    }

    static CRASH: LazyLock<Option<Crash>> = LazyLock::new(|| {
        let setting = std::env::var_os("CRASH_POINTS")?.into_string().ok()?;
        let (point, passes) = setting.split_once(':').unwrap_or((&setting, "1"));
        Some(Crash { point: point.to_owned(), passes: AtomicU32::new(passes.parse().unwrap_or(1)) })
    });

    /// A point named `<service>.<where>`: the process ends here when `CRASH_POINTS` names it.
    pub fn point(name: &str) {
        if let Some(crash) = &*CRASH
            && crash.point == name
            && crash.passes.fetch_sub(1, Ordering::Relaxed) == 1
        {
            // A process may always kill itself, and nothing runs after that.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
