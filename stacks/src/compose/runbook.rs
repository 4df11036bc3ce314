//! The runbook in an alert's e-mail: a link below `RUNBOOK_BASE_URL`, or the name of the file where no address is known.

use anyhow::{Result, ensure};
use reqwest::Url;

/// The template "runbook" of Alertmanager, whose argument is the path of a page from the root of a checkout.
///
/// # Errors
/// When `base` is neither empty nor an HTTP URL.
pub fn runbook(base: &str) -> Result<String> {
    let page = if base.is_empty() {
        "{{ . }}, in the checkout (RUNBOOK_BASE_URL makes this a link)".to_owned()
    } else {
        let url = base.parse::<Url>().ok().filter(|url| ["http", "https"].contains(&url.scheme()));
        // A template and an attribute in HTML hold it.
        ensure!(
            url.is_some() && !base.contains(['"', '{', '}', '<', '>']) && !base.contains(char::is_whitespace),
            "cannot use RUNBOOK_BASE_URL: it is no URL of HTTP; set one such as https://git.example/omnitrace/main in .env"
        );
        format!("<a href=\"{}/{{{{ . }}}}\">{{{{ . }}}}</a>", base.trim_end_matches('/'))
    };
    Ok(format!("{{{{ define \"runbook\" }}}}{page}{{{{ end }}}}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_makes_runbooks_links() {
        let template = runbook("https://git.example/omnitrace/main/").unwrap();
        assert!(template.contains("<a href=\"https://git.example/omnitrace/main/{{ . }}\">"), "{template}");
        assert!(!runbook("").unwrap().contains("href"), "there is no address to link to");
    }

    #[test]
    fn an_address_that_is_no_http_url_is_refused_by_name() {
        for bad in
            ["git.example/main", "file:///docs", "https://a.example/\"><script>", "https://a.example/{{ . }}"]
        {
            let error = runbook(bad).unwrap_err().to_string();
            assert!(error.starts_with("cannot use RUNBOOK_BASE_URL"), "{bad}: {error}");
        }
    }
}
