//! The limit of open files, which connections need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, warn};

/// Of one request: its connection, and a connection to what it asks.
const OF_A_REQUEST: u64 = 2;
/// Of all else: log files, the spool, the database, listeners.
const OF_THE_SERVICE: u64 = 256;

/// Raises the soft limit of open files to what so many requests in flight need, as far as the hard limit allows; warns where
/// that is not enough.
pub(super) fn raise_limit(requests: u32, log: &Logger) {
    let needed = OF_THE_SERVICE + OF_A_REQUEST * u64::from(requests);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // No limit is `None`.
    let (Some(current), hard) = (current, maximum.unwrap_or(u64::MAX)) else { return };
    let mut limit = current;
    if current < needed {
        let raised = Rlimit { current: Some(needed.min(hard)), maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = needed.min(hard);
        }
    }
    if limit < needed {
        warn!(log, "too few open files for the requests in flight: raise the hard limit (ulimit -Hn), or lower the setting";
            "process.open_file_descriptor.limit" => limit, "process.open_file_descriptor.needed" => needed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telemetry::testing::Capture;

    #[test]
    fn a_limit_of_files_below_the_need_is_raised_or_said() {
        let seen = Capture::start();
        raise_limit(64, &seen.log());
        let limit = getrlimit(Resource::Nofile).current;
        assert!(limit.is_none_or(|limit| limit >= OF_THE_SERVICE + 64 * OF_A_REQUEST), "{limit:?}");
        raise_limit(u32::MAX, &seen.log());
        let hard = getrlimit(Resource::Nofile).maximum;
        let said = seen.lines().iter().any(|line| line.to_string().contains("too few open files"));
        assert_eq!(said, hard.is_some_and(|hard| hard < u64::from(u32::MAX)), "the hard limit is {hard:?}");
    }
}
