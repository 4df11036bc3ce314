//! The memory of a stack's processes and the disk of its data, with the services.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use stacks::{compose, process::Process};

/// Bytes of memory and disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Footprint {
    pub(super) memory: u64,
    pub(super) disk: u64,
}

/// The footprint of processes with their groups, and of a directory.
pub(super) fn of_processes(processes: &[Process], dir: &Path) -> Result<Footprint> {
    let all = procfs::process::all_processes().context("cannot list the processes")?;
    let stats = all.filter_map(|process| process.ok()?.stat().ok());
    let ours = stats.filter(|stat| processes.iter().any(|process| process.pid == stat.pgrp));
    let memory = ours.map(|stat| stat.rss * procfs::page_size()).sum();
    let disk = size(dir).with_context(|| format!("cannot measure {}", dir.display()))?;
    Ok(Footprint { memory, disk })
}

fn size(path: &Path) -> std::io::Result<u64> {
    let about = fs::symlink_metadata(path)?;
    if !about.is_dir() {
        return Ok(about.blocks() * 512);
    }
    let mut sum = 0;
    for entry in fs::read_dir(path)? {
        match size(&entry?.path()) {
            // The file was removed after it was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            size => sum += size?,
        }
    }
    Ok(sum)
}

/// The footprint of the containers and the volumes of a Compose project.
pub(super) async fn of_project(project: &str) -> Result<Footprint> {
    let label = format!("com.docker.compose.project={project}");
    let ids = docker(&["ps", "--quiet", "--filter", &format!("label={label}")]).await?;
    let ids: Vec<&str> = ids.split_whitespace().collect();
    ensure!(!ids.is_empty(), "no container of the project {project} runs");
    let stats = docker(&[&["stats", "--no-stream", "--format", "{{json .}}"], &ids[..]].concat()).await?;
    let usage = stats.lines().map(|line| {
        let container: Usage = serde_json::from_str(line).context("`docker stats` did not answer in JSON")?;
        bytes(container.mem_usage.split('/').next().unwrap_or_default())
    });
    let memory = usage.sum::<Result<u64>>()?;
    let disk = docker(&["system", "df", "--verbose", "--format", "json"]).await?;
    let disk: Disk = serde_json::from_str(&disk).context("`docker system df` did not answer in JSON")?;
    let volumes = disk.volumes.iter().filter(|volume| volume.labels.split(',').any(|found| found == label));
    let disk = volumes.map(|volume| bytes(&volume.size)).sum::<Result<u64>>()?;
    Ok(Footprint { memory, disk })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    /// `12.94MiB / 256MiB`
    mem_usage: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Disk {
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    #[serde(default)]
    labels: String,
    /// `150.6kB`
    size: String,
}

async fn docker(arguments: &[&str]) -> Result<String> {
    let output = compose::docker(arguments).await?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {} failed: {}", arguments[0], error.trim());
    String::from_utf8(output.stdout).context("docker did not answer in UTF-8")
}

/// `12.94MiB` and `150.6kB` as bytes.
fn bytes(text: &str) -> Result<u64> {
    let text = text.trim();
    let unit = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let factor = match unit {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "KiB" => f64::from(1 << 10),
        "MiB" => f64::from(1 << 20),
        "GiB" => f64::from(1 << 30),
        _ => anyhow::bail!("`{text}` is not a size"),
    };
    let number: f64 = number.parse().with_context(|| format!("`{text}` is not a size"))?;
    Ok((number * factor) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_in_dockers_notation_become_bytes() {
        let sizes = ["0B", "12.5MiB", "1GiB", "150.6kB", "2.5GB", " 3KiB "].map(|text| bytes(text).unwrap());
        assert_eq!(sizes, [0, 13_107_200, 1 << 30, 150_600, 2_500_000_000, 3072]);
        assert!(["", "MiB", "12", "1.2.3MB", "5 apples"].iter().all(|text| bytes(text).is_err()));
    }

    #[test]
    fn the_size_of_a_directory_is_the_sum_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        for file in ["a", "below/b"] {
            fs::write(dir.path().join(file), [7; 10_000]).unwrap();
        }
        let size = size(dir.path()).unwrap();
        assert!((20_000..100_000).contains(&size), "{size}");
    }
}
