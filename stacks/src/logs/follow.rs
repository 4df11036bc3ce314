//! New lines of log files, across rotation by rename.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Result;

use super::{Filter, Line, SERVICES, current, select};

/// The end of each service's log that was read so far.
pub struct Follow {
    places: Vec<Place>,
}

struct Place {
    service: &'static str,
    path: PathBuf,
    file: Option<File>,
    /// An incomplete line.
    rest: Vec<u8>,
}

impl Follow {
    /// Follows the logs from their present end.
    pub(crate) fn from_end(dir: &Path) -> Result<Self> {
        let mut places = Vec::new();
        for service in SERVICES {
            let path = current(dir, service);
            let mut file = open(&path)?;
            if let Some(file) = &mut file {
                file.seek(SeekFrom::End(0))?;
            }
            places.push(Place { service, path, file, rest: Vec::new() });
        }
        Ok(Self { places })
    }

    /// The selected lines since the last call, by time.
    pub(crate) fn next(&mut self, filter: &Filter) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for place in &mut self.places {
            place.read(filter, &mut lines)?;
            if place.is_rotated()? {
                place.file = open(&place.path)?;
                place.read(filter, &mut lines)?;
            }
        }
        lines.sort_by_key(|line| line.time);
        Ok(lines)
    }
}

impl Place {
    fn read(&mut self, filter: &Filter, lines: &mut Vec<Line>) -> Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.read_to_end(&mut self.rest)?;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = self.rest.drain(..=end).collect();
            lines.extend(select(self.service, &String::from_utf8_lossy(&text), filter));
        }
        Ok(())
    }

    fn is_rotated(&self) -> Result<bool> {
        let Some(now) = open(&self.path)? else { return Ok(false) };
        let Some(then) = &self.file else { return Ok(true) };
        Ok(now.metadata()?.ino() != then.metadata()?.ino())
    }
}

fn open(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        file => Ok(Some(file?)),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn rotated_files_and_incomplete_lines_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = current(dir.path(), "order-gateway");
        fs::write(&path, "{\"message\":\"before\"}\n").unwrap();
        let mut follow = Follow::from_end(dir.path()).unwrap();
        let mut next = || -> Vec<String> {
            let lines = follow.next(&Filter::default()).unwrap();
            lines.into_iter().map(|line| line.message).collect()
        };
        assert!(next().is_empty());

        let mut file = File::options().append(true).open(&path).unwrap();
        write!(file, "{{\"message\":\"fi").unwrap();
        assert!(next().is_empty());
        writeln!(file, "rst\"}}").unwrap();
        assert_eq!(next(), ["first"]);

        fs::rename(&path, dir.path().join("order-gateway.log.1")).unwrap();
        writeln!(file, "{{\"message\":\"second\"}}").unwrap();
        fs::write(&path, "{\"message\":\"third\"}\n").unwrap();
        assert_eq!(next(), ["second", "third"]);
    }
}
