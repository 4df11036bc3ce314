//! The modules of a crate: the file that each is in, and the names that each brings into scope.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::paths::{is_word, paths};

/// The way to a module or an item from the root of its crate.
pub(super) type ItemPath = Vec<String>;

/// Names that a `use` brings into scope; none is an item of another crate.
pub(super) type Names = BTreeMap<String, Option<ItemPath>>;

pub(super) struct Modules {
    modules: BTreeMap<ItemPath, Module>,
}

struct Module {
    file: PathBuf,
    /// Whether it is the whole file.
    is_file: bool,
    tokens: Vec<TokenTree>,
    names: Names,
}

impl Modules {
    /// The modules of the crate with this root file.
    pub(super) fn of(root: &Path) -> Self {
        let mut crate_modules = Self { modules: BTreeMap::new() };
        crate_modules.add_file(Vec::new(), root.to_owned(), root.parent().unwrap());
        let imported: Vec<_> = crate_modules
            .modules
            .iter()
            .map(|(path, module)| (path.clone(), crate_modules.names_in(path, &Names::new(), &module.tokens)))
            .collect();
        for (path, names) in imported {
            crate_modules.modules.get_mut(&path).unwrap().names = names;
        }
        crate_modules
    }

    /// Each file, with the module that it is and its tokens.
    pub(super) fn files(&self) -> impl Iterator<Item = (&ItemPath, &Path, &[TokenTree])> {
        let files = self.modules.iter().filter(|(_, module)| module.is_file);
        files.map(|(path, module)| (path, module.file.as_path(), module.tokens.as_slice()))
    }

    /// The file that an item is defined in: imports and re-exports on the way are followed.
    pub(super) fn file(&self, path: &ItemPath) -> Option<&Path> {
        let mut path = path.clone();
        // As many steps as there can be re-exports of re-exports.
        for _ in 0..8 {
            let module =
                (0..=path.len()).rev().find_map(|length| self.modules.get_key_value(&path[..length]));
            let (there, module) = module?;
            let origin = path.get(there.len()).and_then(|name| module.names.get(name));
            match origin {
                None => return Some(&module.file),
                Some(None) => return None,
                Some(Some(origin)) => path = [&origin[..], &path[there.len() + 1..]].concat(),
            }
        }
        None
    }

    /// What the `use` declarations among these tokens of a module call which items.
    pub(super) fn names_in(&self, module: &ItemPath, outer: &Names, tokens: &[TokenTree]) -> Names {
        let mut names = outer.clone();
        for at in (0..tokens.len()).filter(|at| is_word(&tokens[*at], "use")) {
            for path in paths(tokens, at + 1).0 {
                let item = self.absolute(module, outer, &path.segments);
                names.extend(path.name.map(|name| (name, item)));
            }
        }
        names
    }

    /// A path from the root of the crate; none if it leads to another crate.
    pub(super) fn absolute(&self, module: &ItemPath, names: &Names, path: &[String]) -> Option<ItemPath> {
        let (first, rest) = path.split_first()?;
        let child = |name: &String| [&module[..], std::slice::from_ref(name)].concat();
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => module.clone(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            _ if self.modules.contains_key(&child(first)) => child(first),
            name => names.get(name)?.clone()?,
        };
        for segment in rest {
            match segment.as_str() {
                "super" => drop(base.pop()?),
                "self" => {}
                name => base.push(name.to_owned()),
            }
        }
        Some(base)
    }

    fn add_file(&mut self, path: ItemPath, file: PathBuf, children: &Path) {
        let text = fs::read_to_string(&file).unwrap();
        let tokens: TokenStream =
            text.parse().unwrap_or_else(|error| panic!("{} is not Rust: {error}", file.display()));
        self.add(path, &file, true, children, tokens);
    }

    fn add(&mut self, path: ItemPath, file: &Path, is_file: bool, children: &Path, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for three in tokens.windows(3).filter(|three| is_word(&three[0], "mod")) {
            let name = three[1].to_string();
            let path = [&path[..], std::slice::from_ref(&name)].concat();
            let children = children.join(&name);
            if let TokenTree::Group(body) = &three[2]
                && body.delimiter() == Delimiter::Brace
            {
                self.add(path, file, false, &children, body.stream());
                continue;
            }
            let places = [children.with_extension("rs"), children.join("mod.rs")];
            if let Some(file) = places.into_iter().find(|file| file.is_file()) {
                self.add_file(path, file, &children);
            }
        }
        self.modules.insert(path, Module { file: file.to_owned(), is_file, tokens, names: Names::new() });
    }
}
