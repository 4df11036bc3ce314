//! How a long command shows where it is: a spinner on a terminal, plain lines elsewhere, or nothing.
//! It goes to standard error; standard output is for results.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines about how far a stage is.
const SELDOM: Duration = Duration::from_secs(10);

/// The stages of one command.
pub struct Progress {
    show: Show,
    stage: Option<(String, Instant)>,
    /// When a plain line was last written about how far a stage is.
    said: Instant,
}

enum Show {
    Spinner(Option<ProgressBar>),
    Lines,
    Nothing,
}

impl Progress {
    /// What fits standard error.
    pub fn for_terminal() -> Self {
        let show = if std::io::stderr().is_terminal() { Show::Spinner(None) } else { Show::Lines };
        Self { show, stage: None, said: Instant::now() }
    }

    /// For tests.
    pub fn silent() -> Self {
        Self { show: Show::Nothing, stage: None, said: Instant::now() }
    }

    /// Begins a stage.
    pub fn begin(&mut self, stage: &str) {
        self.said = Instant::now();
        self.stage = Some((stage.to_owned(), self.said));
        if let Show::Spinner(bar) = &mut self.show {
            let style = ProgressStyle::with_template("{spinner} {prefix:<14} {elapsed:>5}  {msg}");
            let spinner = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.set_prefix(stage.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(100));
            *bar = Some(spinner);
        }
    }

    /// Says what the running stage waits for; only a terminal can show something so brief.
    pub fn waiting(&mut self, what: String) {
        if let Show::Spinner(Some(bar)) = &self.show {
            bar.set_message(what);
        }
    }

    /// Says how far the running stage is; in plain lines only now and then.
    pub fn at(&mut self, position: usize, length: usize, what: &str) {
        if matches!(self.show, Show::Lines) && self.said.elapsed() >= SELDOM {
            self.said = Instant::now();
            self.note(&format!("  {position}/{length} {what}"));
        }
        if let Show::Spinner(Some(bar)) = &self.show {
            if bar.length().is_none() {
                let style = ProgressStyle::with_template(
                    "{spinner} {prefix:<14} {elapsed:>5}  {bar:32} {pos}/{len} {msg}",
                );
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            }
            bar.set_message(what.to_owned());
            bar.set_length(length as u64);
            bar.set_position(position as u64);
        }
    }

    /// Ends the running stage well.
    pub fn done(&mut self, result: &str) {
        self.end('✓', result);
    }

    /// Ends the running stage, if there is one, badly; why is said by the error that follows.
    pub fn failed(&mut self) {
        self.end('✗', "");
    }

    /// Says something that is not a stage.
    pub fn note(&mut self, text: &str) {
        if !matches!(self.show, Show::Nothing) {
            // Standard error that is closed must not end the command.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    fn end(&mut self, sign: char, result: &str) {
        let Some((stage, begun)) = self.stage.take() else { return };
        if let Show::Spinner(bar) = &mut self.show
            && let Some(bar) = bar.take()
        {
            bar.finish_and_clear();
        }
        let seconds = begun.elapsed().as_secs_f64();
        let line = format!("{sign} {stage:<14} {seconds:>5.1} s  {result}");
        self.note(line.trim_end());
    }
}
