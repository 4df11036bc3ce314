//! The progress of a long command, on standard error: a spinner on a terminal, plain lines elsewhere, or nothing.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines about the position of a stage.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// The stages of one command.
pub struct Progress {
    show: Show,
    stage: Option<(String, Instant)>,
    /// When the last plain line about a position was written.
    said: Instant,
}

enum Show {
    Spinner(Option<ProgressBar>),
    Lines,
    Nothing,
}

impl Progress {
    /// Progress in the form that fits standard error.
    pub fn for_terminal() -> Self {
        let show = if std::io::stderr().is_terminal() { Show::Spinner(None) } else { Show::Lines };
        Self { show, stage: None, said: Instant::now() }
    }

    /// Progress that shows nothing.
    pub fn silent() -> Self {
        Self { show: Show::Nothing, stage: None, said: Instant::now() }
    }

    /// Begins a stage, named by a verb and an object.
    pub fn begin(&mut self, stage: &str) {
        self.said = Instant::now();
        self.stage = Some((stage.to_owned(), self.said));
        if let Show::Spinner(bar) = &mut self.show {
            let style = ProgressStyle::with_template("{spinner} {prefix:<20} {elapsed:>5}  {msg}");
            let spinner = ProgressBar::new_spinner()
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            spinner.set_prefix(stage.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(100));
            *bar = Some(spinner);
        }
    }

    /// Shows what the stage waits for; on a terminal only.
    pub fn waiting(&mut self, what: String) {
        if let Show::Spinner(Some(bar)) = &self.show {
            bar.set_message(what);
        }
    }

    /// Shows the position of the stage; in plain lines every ten seconds.
    pub fn at(&mut self, position: usize, length: usize, what: &str) {
        if matches!(self.show, Show::Lines) && self.said.elapsed() >= LINE_PERIOD {
            self.said = Instant::now();
            self.note(&format!("  {position}/{length} {what}"));
        }
        if let Show::Spinner(Some(bar)) = &self.show {
            if bar.length().is_none() {
                let style = ProgressStyle::with_template(
                    "{spinner} {prefix:<20} {elapsed:>5}  {bar:32} {pos}/{len} {msg}",
                );
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            }
            bar.set_message(what.to_owned());
            bar.set_length(length as u64);
            bar.set_position(position as u64);
        }
    }

    /// Gives the stage another name, the failed component's for example.
    pub(crate) fn rename(&mut self, name: &str) {
        if let Some((stage, _)) = &mut self.stage {
            *stage = name.to_owned();
        }
    }

    /// Ends the stage with its result.
    pub fn done(&mut self, result: &str) {
        self.end('✓', result);
    }

    /// Ends the stage, if there is one, as failed; the caller's error says why.
    pub fn failed(&mut self) {
        self.end('✗', "");
    }

    /// Writes a line that belongs to no stage.
    pub fn note(&mut self, text: &str) {
        if !matches!(self.show, Show::Nothing) {
            // A closed standard error must not end the command.
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
        let line = format!("{sign} {stage:<20} {seconds:>5.1} s  {result}");
        self.note(line.trim_end());
    }
}
