//! What the source says of the types that a person writes in a file: their
//! fields in order, with their documentation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::{Attribute, Expr, Item, ItemEnum, ItemFn, ItemStruct, Lit, Meta, Stmt};

/// Types and functions by name.
#[derive(Default)]
pub(crate) struct Source {
    structs: BTreeMap<String, ItemStruct>,
    enums: BTreeMap<String, ItemEnum>,
    functions: BTreeMap<String, ItemFn>,
}

/// A field, by the name that it has in a file.
pub(crate) struct Field {
    pub(crate) name: String,
    /// Its type as it is spelled, without paths: `Option<Vec<SocketAddr>>`.
    pub(crate) kind: String,
    pub(crate) text: String,
    pub(crate) required: bool,
    /// The literal that is taken when it is left out, if it is one.
    pub(crate) literal: Option<String>,
}

/// A variant, by the name that it has in a file.
pub(crate) struct Choice {
    pub(crate) name: String,
    /// The type of what it holds.
    pub(crate) holds: Option<String>,
    pub(crate) text: String,
    pub(crate) is_default: bool,
}

impl Source {
    /// Adds what is in the files of a folder, or in a file; what is known
    /// already stays.
    pub(crate) fn read(&mut self, path: &Path) -> Result<()> {
        if path.is_dir() {
            for entry in fs::read_dir(path)? {
                self.read(&entry?.path())?;
            }
            return Ok(());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        for item in syn::parse_file(&text)?.items {
            match item {
                Item::Struct(item) => {
                    self.structs.entry(item.ident.to_string()).or_insert(item);
                }
                Item::Enum(item) => {
                    self.enums.entry(item.ident.to_string()).or_insert(item);
                }
                Item::Fn(item) => {
                    self.functions
                        .entry(item.sig.ident.to_string())
                        .or_insert(item);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The fields of a struct that is written as such, not as a text.
    pub(crate) fn fields(&self, name: &str) -> Result<Option<Vec<Field>>> {
        let Some(item) = self.structs.get(name) else {
            return Ok(None);
        };
        let whole = serde(&item.attrs)?;
        if whole.contains_key("try_from") {
            return Ok(None);
        }
        let field = |field: &syn::Field| {
            let serde = serde(&field.attrs)?;
            let kind = kind(&field.ty)?;
            let optional = kind.starts_with("Option<") && !serde.contains_key("deserialize_with");
            let default = serde.get("default").cloned().flatten();
            Ok(Field {
                name: field
                    .ident
                    .as_ref()
                    .context("a field without a name")?
                    .to_string(),
                text: documentation(&field.attrs),
                required: !(optional
                    || serde.contains_key("default")
                    || whole.contains_key("default")),
                literal: default.and_then(|function| self.literal(&function)),
                kind,
            })
        };
        item.fields
            .iter()
            .map(field)
            .collect::<Result<_>>()
            .map(Some)
    }

    /// The variants of an enum that is written as such, not as a text.
    pub(crate) fn choices(&self, name: &str) -> Result<Option<Vec<Choice>>> {
        let Some(item) = self.enums.get(name) else {
            return Ok(None);
        };
        let whole = serde(&item.attrs)?;
        if whole.contains_key("try_from") {
            return Ok(None);
        }
        let case = whole.get("rename_all").cloned().flatten();
        let choice = |variant: &syn::Variant| {
            serde(&variant.attrs)?;
            let name = variant.ident.to_string();
            Ok(Choice {
                name: match case.as_deref() {
                    Some("lowercase") => name.to_lowercase(),
                    Some("snake_case") => snake(&name),
                    other => bail!("{name}: variants are renamed to {other:?}"),
                },
                holds: variant
                    .fields
                    .iter()
                    .map(|field| kind(&field.ty))
                    .next()
                    .transpose()?,
                text: documentation(&variant.attrs),
                is_default: variant
                    .attrs
                    .iter()
                    .any(|attribute| attribute.path().is_ident("default")),
            })
        };
        item.variants
            .iter()
            .map(choice)
            .collect::<Result<_>>()
            .map(Some)
    }

    /// What a function returns that is nothing but a literal.
    fn literal(&self, function: &str) -> Option<String> {
        match self.functions.get(function)?.block.stmts.as_slice() {
            [Stmt::Expr(Expr::Lit(literal), None)] => match &literal.lit {
                Lit::Int(number) => Some(number.base10_digits().to_owned()),
                Lit::Bool(truth) => Some(truth.value.to_string()),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What serde is told, by name. What would make names or shapes other than
/// they are read here is an error.
fn serde(attributes: &[Attribute]) -> Result<BTreeMap<String, Option<String>>> {
    const KNOWN: [&str; 9] = [
        "default",
        "deny_unknown_fields",
        "deserialize_with",
        "into",
        "rename_all",
        "serialize_with",
        "skip_serializing_if",
        "try_from",
        "with",
    ];
    let mut told = BTreeMap::new();
    for attribute in attributes {
        if !attribute.path().is_ident("serde") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            let name = meta
                .path
                .get_ident()
                .map_or_else(String::new, ToString::to_string);
            if !KNOWN.contains(&name.as_str()) {
                return Err(meta.error("the reference does not know this"));
            }
            let value = match meta.value() {
                Ok(value) => Some(value.parse::<syn::LitStr>()?.value()),
                Err(_) => None,
            };
            told.insert(name, value);
            Ok(())
        })?;
    }
    Ok(told)
}

/// The documentation, in one line.
fn documentation(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<_> = attributes.iter().filter_map(line).collect();
    lines.join(" ")
}

fn kind(of: &syn::Type) -> Result<String> {
    let syn::Type::Path(path) = of else {
        bail!("a type that is no name");
    };
    let last = path.path.segments.last().context("a type without a name")?;
    let name = last.ident.to_string();
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return Ok(name);
    };
    match arguments.args.first() {
        Some(syn::GenericArgument::Type(inner)) => Ok(format!("{name}<{}>", kind(inner)?)),
        _ => Ok(name),
    }
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
