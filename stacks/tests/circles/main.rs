//! The rule of one-way dependencies: no two source files of a crate import each other, and no more of them in a circle.

#![expect(clippy::unwrap_used, reason = "all of this crate is a test")]

mod imports;
mod modules;
mod paths;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use imports::imports;
use modules::Modules;

/// Which files of a crate each of its files imports.
type Imports = BTreeMap<PathBuf, BTreeSet<PathBuf>>;

/// The shortest circle through each file that is part of one; each circle once.
fn circles(imports: &Imports) -> BTreeSet<Vec<&Path>> {
    imports.keys().filter_map(|file| circle(imports, file)).collect()
}

/// The shortest way from a file back to itself, beginning with the first file by name.
fn circle<'a>(imports: &'a Imports, file: &'a Path) -> Option<Vec<&'a Path>> {
    let mut ways: Vec<Vec<&Path>> = vec![vec![file]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in imports.get(*way.last()?).into_iter().flatten() {
                if next == file {
                    let first = (0..way.len()).min_by_key(|index| way[*index])?;
                    let mut way = way;
                    way.rotate_left(first);
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push([&way[..], &[next]].concat());
                }
            }
        }
        ways = longer;
    }
    None
}

/// The root files of all crates below a directory: libraries, binaries and integration tests.
fn crate_roots(dir: &Path) -> Vec<PathBuf> {
    let mut roots = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap()) {
            let name = entry.file_name().into_string().unwrap();
            let path = entry.path();
            if path.is_dir() && !["target", "node_modules"].contains(&&*name) && !name.starts_with('.') {
                dirs.push(path);
            } else if name == "Cargo.toml" {
                roots.extend(["src/lib.rs", "src/main.rs", "build.rs"].map(|root| dir.join(root)));
                for targets in ["benches", "examples", "fuzz_targets", "src/bin", "tests"] {
                    let files = fs::read_dir(dir.join(targets)).into_iter().flatten();
                    let files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
                    roots.extend(files.iter().map(|file| file.join("main.rs")));
                    roots.extend(
                        files.into_iter().filter(|file| file.extension().is_some_and(|rs| rs == "rs")),
                    );
                }
            }
        }
    }
    roots.retain(|root| root.is_file());
    roots.sort();
    roots
}

fn crate_imports(root: &Path) -> Imports {
    let modules = Modules::of(root);
    let files = modules.files();
    files.map(|(path, file, tokens)| (file.to_owned(), imports(&modules, path, file, tokens))).collect()
}

#[test]
fn no_files_of_a_crate_import_each_other() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let roots = crate_roots(workspace);
    assert!(roots.len() > 8, "{roots:?}");
    let mut found = Vec::new();
    for root in roots {
        let imports = crate_imports(&root);
        for circle in circles(&imports) {
            let names =
                circle.iter().map(|file| file.strip_prefix(workspace).unwrap_or(file).display().to_string());
            found.push(names.collect::<Vec<_>>().join(" -> "));
        }
    }
    assert!(found.is_empty(), "{} circles of files:\n{}", found.len(), found.join("\n"));
}

/// The circles of a crate of these files, by names from its folder.
fn planted(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = dir.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let imports = crate_imports(&dir.path().join("lib.rs"));
    let name = |file: &&Path| file.strip_prefix(dir.path()).unwrap().display().to_string();
    circles(&imports).iter().map(|circle| circle.iter().map(name).collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn two_files_that_import_each_other_are_found() {
    let ways_to_import = [
        "use crate::b::thing;",
        "use super::b::{self, other as another};",
        "use crate::{b::{thing}, x};",
        "use crate::b::*;",
        "use super::b; fn f() { b::thing() }",
        "fn f() { println!(\"{}\", crate::b::thing()) }",
        "mod inner { use super::super::b::thing; }",
    ];
    for import in ways_to_import {
        let found = planted(&[
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", import),
            ("b/mod.rs", "pub fn thing() -> crate::a::A { todo!() }"),
        ]);
        assert_eq!(found, ["a.rs b/mod.rs"], "{import}");
    }
}

#[test]
fn a_circle_of_three_files_is_found_once() {
    let found = planted(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
    ]);
    assert_eq!(found, ["a.rs b.rs c.rs"]);
}

#[test]
fn a_child_that_imports_its_parent_back_is_found() {
    let parent = ("lib.rs", "mod a; use a::A; pub struct Shared;");
    assert_eq!(planted(&[parent, ("a.rs", "use super::Shared; pub struct A(Shared);")]), ["a.rs lib.rs"]);
    // One of both directions is allowed.
    assert!(planted(&[("lib.rs", "mod a; pub struct Shared;"), ("a.rs", "use super::Shared;")]).is_empty());
}

#[test]
fn texts_comments_tests_and_other_crates_are_no_imports() {
    let a = "//! See [`crate::b`].\n/* use crate::b; */ use other::b; const X: &str = \"crate::b\";\n\
             #[cfg(test)] mod tests { use crate::b::B; }";
    let found = planted(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", "use crate::a::X;")]);
    assert!(found.is_empty(), "{found:?}");
}
