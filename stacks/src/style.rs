//! Colours for terminals, and numbers with units.

use std::{io::IsTerminal as _, time::Duration};

/// The decoration of texts.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    colours: bool,
}

impl Style {
    /// Colours if standard output is a terminal and `NO_COLOR` is not set.
    pub fn for_stdout() -> Self {
        let declined = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colours: std::io::stdout().is_terminal() && !declined }
    }

    /// No decoration.
    pub const PLAIN: Self = Self { colours: false };

    /// A text in the colour of a service.
    pub fn service(self, text: &str, service: &str) -> String {
        let code = match service {
            "order-gateway" => 36,
            "payment-service" => 33,
            "email-service" => 35,
            _ => 34,
        };
        self.paint(text, code)
    }

    /// A less important text.
    pub fn dim(self, text: &str) -> String {
        self.paint(text, 2)
    }

    /// A text about something that works.
    pub fn good(self, text: &str) -> String {
        self.paint(text, 32)
    }

    /// A text about something that needs attention.
    pub fn bad(self, text: &str) -> String {
        self.paint(text, 31)
    }

    fn paint(self, text: &str, code: u8) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `0.4 ms`, `512 ms`, `1.34 s`: a duration with three digits.
pub fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0 => "0 ms".into(),
        1..1_000 => format!("{:.1} ms", micros as f64 / 1e3),
        1_000..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", duration.as_secs_f64()),
    }
}

/// `42 s`, `17 min`, `3 h 5 min`, `2 d 4 h`: a long duration.
pub(crate) fn uptime(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{minutes} min"),
        3600..86400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// `512 MiB`, `3.3 GiB`: an amount of memory or disk.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_073_741_824 => format!("{} MiB", bytes >> 20),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!([512 << 20, 1 << 30, 3379 << 20].map(size), ["512 MiB", "1.0 GiB", "3.3 GiB"]);
    }

    #[test]
    fn times_have_three_digits_and_a_unit() {
        let shown = [0, 400, 999, 1_000, 512_300, 999_499, 999_500, 1_340_000]
            .map(|us| duration(Duration::from_micros(us)));
        assert_eq!(shown, ["0 ms", "0.4 ms", "1.0 ms", "1 ms", "512 ms", "999 ms", "1.00 s", "1.34 s"]);
        let shown = [42, 1020, 11_100, 187_200].map(|s| uptime(Duration::from_secs(s)));
        assert_eq!(shown, ["42 s", "17 min", "3 h 5 min", "2 d 4 h"]);
    }
}
