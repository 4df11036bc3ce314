//! Compose files read from disk, with `include` and `extends` resolved as Compose does, for machines without Docker.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    service::Service,
    variables::{Variables, interpolate_all, read_lines},
};

/// All services of a file and of those that it includes.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The services by name, which is also their host name.
    pub services: BTreeMap<String, Service>,
    pub secrets: BTreeMap<String, PathBuf>,
    pub volumes: Vec<String>,
    /// The files that were included, absolute, in order.
    pub includes: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    include: Vec<Include>,
    #[serde(default)]
    services: BTreeMap<String, Value>,
    #[serde(default)]
    secrets: BTreeMap<String, Secret>,
    #[serde(default)]
    volumes: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Include {
    Path(PathBuf),
    With { path: PathBuf, env_file: PathBuf },
}

#[derive(Deserialize)]
struct Secret {
    file: PathBuf,
}

#[derive(Deserialize)]
struct Extends {
    file: Option<PathBuf>,
    service: String,
}

impl Project {
    /// Reads a file, with these variables over the environment files that it names.
    pub(crate) fn read(file: &Path, variables: &Variables) -> Result<Self> {
        let mut project = Self::default();
        project.add(file, variables).with_context(|| format!("in {}", file.display()))?;
        Ok(project)
    }

    fn add(&mut self, file: &Path, variables: &Variables) -> Result<()> {
        let dir = directory(file);
        let document = document(file, variables)?;
        for include in document.include {
            let (path, variables) = match include {
                Include::Path(path) => (path, variables.clone()),
                Include::With { path, env_file } => (path, with_file(&resolve(dir, &env_file), variables)?),
            };
            let path = resolve(dir, &path);
            self.add(&path, &variables).with_context(|| format!("in {}", path.display()))?;
            self.includes.push(path);
        }
        for name in document.services.keys() {
            let service = service(file, name, variables, 0)?;
            let service = serde_json::from_value(service).with_context(|| format!("service {name}"))?;
            if self.services.insert(name.clone(), service).is_some() {
                bail!("two files have a service {name}");
            }
        }
        for (name, secret) in document.secrets {
            self.secrets.insert(name, resolve(dir, &secret.file));
        }
        self.volumes.extend(document.volumes.into_keys());
        Ok(())
    }
}

/// A service of a file, merged over what it extends, with absolute paths.
fn service(file: &Path, name: &str, variables: &Variables, depth: usize) -> Result<Value> {
    if depth > 8 {
        bail!("service {name} extends itself");
    }
    let found = document(file, variables)?.services.remove(name);
    let mut service = found.with_context(|| format!("{} has no service {name}", file.display()))?;
    let dir = directory(file);
    make_absolute(&mut service, dir);
    let Some(extends) = service.as_object_mut().and_then(|map| map.remove("extends")) else {
        return Ok(service);
    };
    let extends: Extends = serde_json::from_value(extends).with_context(|| format!("`extends` of {name}"))?;
    let other = extends.file.map_or_else(|| file.to_owned(), |other| resolve(dir, &other));
    let mut base = self::service(&other, &extends.service, variables, depth + 1)?;
    merge(&mut base, service);
    Ok(base)
}

/// Merges as Compose does: maps by key, lists by appending; commands and all else are replaced.
fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                let is_command = ["command", "entrypoint", "test"].contains(&&*key);
                match base.get_mut(&key) {
                    Some(there) if !is_command => merge(there, value),
                    _ => drop(base.insert(key, value)),
                }
            }
        }
        (Value::Array(base), Value::Array(mut over)) => base.append(&mut over),
        (base, over) => *base = over,
    }
}

/// Makes the paths absolute that are relative to the directory of the file.
fn make_absolute(service: &mut Value, dir: &Path) {
    let absolute = |path: &mut Value| {
        let Some(text) = path.as_str().filter(|text| text.starts_with('.')) else { return };
        let (source, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
        *path = format!("{}{rest}", resolve(dir, Path::new(source)).display()).into();
    };
    service.pointer_mut("/build/context").map(absolute);
    service.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten().for_each(absolute);
}

fn document(file: &Path, variables: &Variables) -> Result<Document> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    // Compose reads `no` and `y` as texts.
    let options = serde_saphyr::options! { strict_booleans: true };
    let document = serde_saphyr::from_str_with_options::<Map<String, Value>>(&text, options)
        .map_err(|error| anyhow!("cannot read {} as YAML: {error}", file.display()))?;
    let mut document = Value::Object(document);
    note_port_settings(&mut document);
    interpolate_all(&mut document, variables)?;
    Ok(serde_json::from_value(document)?)
}

/// Notes the settings of the ports: they are gone after the interpolation.
fn note_port_settings(document: &mut Value) {
    let services = document.get_mut("services").and_then(Value::as_object_mut);
    for service in services.into_iter().flat_map(Map::values_mut) {
        let Some(ports) = service["ports"].as_array() else { continue };
        let settings: Vec<Value> = ports
            .iter()
            .map(|port| {
                let name =
                    port.as_str().and_then(|text| text.strip_prefix("${")?.split([':', '-', '}']).next());
                name.unwrap_or_default().into()
            })
            .collect();
        service["x-settings"] = settings.into();
    }
}

/// These variables over those of an environment file.
pub(crate) fn with_file(file: &Path, variables: &Variables) -> Result<Variables> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut all = read_lines(&text, variables).with_context(|| format!("in {}", file.display()))?;
    all.extend(variables.clone());
    Ok(all)
}

fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

/// A path below a directory, without the `..` in it.
fn resolve(dir: &Path, path: &Path) -> PathBuf {
    let mut resolved = dir.to_owned();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> Result<Project> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let mut project = Project::read(&dir.path().join("a/compose.yaml"), &Variables::new())?;
        for service in project.services.values_mut() {
            for volume in &mut service.volumes {
                *volume = volume.replace(&dir.path().display().to_string(), "ROOT");
            }
        }
        Ok(project)
    }

    #[test]
    fn includes_and_extends_are_resolved() {
        let project = project(&[
            ("a/compose.yaml", "include: [{path: ../b/compose.yaml, env_file: to.env}]"),
            ("a/to.env", "WHERE=there"),
            (
                "b/compose.yaml",
                "services:\n  x:\n    extends: {file: ../base.yaml, service: base}\n    command: [two]\n    \
                 environment: {B: \"${WHERE}\"}\n    volumes: [\"./conf:/conf:ro\", \"data:/data\"]\nvolumes: {data: }",
            ),
            (
                "base.yaml",
                "services:\n  base:\n    image: i\n    command: [one]\n    environment: {A: a}\n    \
                 cap_drop: [ALL]\n    volumes: [\"./shared:/shared\"]",
            ),
        ])
        .unwrap();
        let service = &project.services["x"];
        assert_eq!((&*service.image, &service.command[..]), ("i", &["two".to_owned()][..]));
        assert_eq!(service.environment["A"].as_str(), Some("a"));
        assert_eq!(service.environment["B"].as_str(), Some("there"));
        assert_eq!(service.volumes, ["ROOT/shared:/shared", "ROOT/b/conf:/conf:ro", "data:/data"]);
        assert_eq!(service.cap_drop, ["ALL"]);
        assert_eq!(project.volumes, ["data"]);
    }

    #[test]
    fn a_missing_part_is_named_with_its_file() {
        let error = project(&[("a/compose.yaml", "include: [gone.yaml]")]).unwrap_err();
        assert!(format!("{error:#}").contains("cannot read") && format!("{error:#}").contains("gone.yaml"));
        let error = project(&[("a/compose.yaml", "services: {x: {extends: {service: y}}}")]).unwrap_err();
        assert!(format!("{error:#}").contains("no service y"), "{error:#}");
        let error = project(&[("a/compose.yaml", "services: {x: {extends: {service: x}}}")]).unwrap_err();
        assert!(format!("{error:#}").contains("extends itself"), "{error:#}");
    }
}
