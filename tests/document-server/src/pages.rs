//! Files for browsers: the sample page and the SDK that it runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};

use crate::protocol::reply::{Body, full};

/// Where pages are; a router lets any server answer here.
pub const PAGES: &str = "/demo/";

/// The file that stands for its folder.
const INDEX: &str = "index.html";

/// What a browser needs of such a folder, and how it is told what it gets.
const CONTENT_TYPES: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

/// The files as they were when the server started. A handle.
#[derive(Clone, Debug, Default)]
pub struct Pages {
    files: Arc<BTreeMap<String, File>>,
}

#[derive(Clone, Debug)]
struct File {
    content_type: HeaderValue,
    content: Bytes,
}

/// A folder that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("pages {}: {error}", path.display())]
pub struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl Pages {
    /// Reads the files of these folders, but not of folders in them. Of files
    /// with one name the first counts.
    ///
    /// # Errors
    /// When a folder or a file in it cannot be read.
    pub fn read(folders: &[PathBuf]) -> Result<Self, Unreadable> {
        let mut files = BTreeMap::new();
        for folder in folders {
            let unreadable = |error| Unreadable {
                path: folder.clone(),
                error,
            };
            for entry in fs::read_dir(folder).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                let (Some(name), Some(content_type)) = (path.file_name(), content_type(&path))
                else {
                    continue;
                };
                let name = name.to_string_lossy().into_owned();
                let content = fs::read(&path).map_err(|error| Unreadable { path, error })?;
                files.entry(name).or_insert_with(|| File {
                    content_type,
                    content: content.into(),
                });
            }
        }
        let files = Arc::new(files);
        Ok(Self { files })
    }

    /// The answer, if that is a request for one of the files.
    #[must_use]
    pub fn answer<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let name = request.uri().path().strip_prefix(PAGES)?;
        let name = if name.is_empty() { INDEX } else { name };
        if request.method() != Method::GET {
            return None;
        }
        let file = self.files.get(name)?;
        let mut response = Response::new(full(file.content.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, file.content_type.clone());
        // The next server may have another version of it.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Some(response)
    }
}

fn content_type(path: &Path) -> Option<HeaderValue> {
    let extension = path.extension()?;
    let known = CONTENT_TYPES.iter().find(|(known, _)| extension == *known);
    known.map(|(_, content_type)| HeaderValue::from_static(content_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("pages-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        for (name, content) in files {
            fs::write(folder.join(name), content).expect("a file");
        }
        folder
    }

    fn get(pages: &Pages, path: &str) -> Option<HeaderValue> {
        let request = Request::get(path).body(()).expect("a request");
        let response = pages.answer(&request)?;
        Some(response.headers()[header::CONTENT_TYPE].clone())
    }

    #[test]
    fn only_what_a_browser_needs_of_the_folders_is_served() {
        let folder = folder(
            "served",
            &[("index.html", ""), ("a.js", ""), ("a.js.map", "")],
        );
        let pages = Pages::read(std::slice::from_ref(&folder)).expect("pages");
        fs::remove_dir_all(folder).expect("removed");

        assert_eq!(get(&pages, "/demo/").unwrap(), "text/html; charset=utf-8");
        assert_eq!(
            get(&pages, "/demo/index.html?document=a").unwrap(),
            "text/html; charset=utf-8"
        );
        assert_eq!(
            get(&pages, "/demo/a.js").unwrap(),
            "text/javascript; charset=utf-8"
        );
        for path in [
            "/",
            "/demo",
            "/demo/a.js.map",
            "/demo/b.js",
            "/demo/../demo/a.js",
            "/demo//a.js",
        ] {
            assert_eq!(get(&pages, path), None, "{path}");
        }
        let post = Request::post("/demo/").body(()).expect("a request");
        assert!(pages.answer(&post).is_none());
    }

    #[test]
    fn a_folder_that_is_missing_is_named() {
        let missing = PathBuf::from("/nowhere/at/all");
        let error = Pages::read(&[missing]).expect_err("no folder");
        assert!(error.to_string().starts_with("pages /nowhere/at/all: "));
    }
}
