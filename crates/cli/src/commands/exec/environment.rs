//! The environment of the command: the proxy, and trust in the service's authority.

use cloudpc_server::identity::well_known::HOSTS;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

use super::trust::{self, STORE_PASSWORD};
use crate::connection::SecureAddress;
use crate::failure::CommandError;

/// What makes Node connect to the service.
const NODE: &str = include_str!("node.cjs");
/// What opens the sign-in page in a browser.
const BROWSER: &str = include_str!("browser.sh");

/// Names of this computer, to which programs connect without the proxy.
const LOOPBACK: &str = "localhost,127.0.0.1,::1";

/// The files that the variables name, in an owner-only folder that is deleted with this value.
pub struct Folder {
    folder: TempDir,
    proxy: SocketAddr,
    service: String,
    pages: String,
}

impl Folder {
    /// Writes the files.
    pub fn create(service: &SecureAddress, proxy: SocketAddr) -> Result<Self, CommandError> {
        let own = trust::read(&service.authority)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| CommandError::local("The certificate authority file contains no PEM certificate."))?;
        let mut all = trust::of_this_computer();
        all.extend(own.iter().cloned());
        let host = service.https.host_str().unwrap_or_default();
        let folder = Self {
            folder: TempDir::with_prefix("cloudpc-exec-").map_err(cannot_write)?,
            proxy,
            service: format!("{host}:{}", service.https.port_or_known_default().unwrap_or(443)),
            pages: service.pages.as_str().trim_end_matches('/').to_owned(),
        };
        for (name, content) in [
            ("ca.pem", trust::bundle(&own).into_bytes()),
            ("bundle.pem", trust::bundle(&all).into_bytes()),
            ("trust.jks", trust::java_store(&all)),
            ("node.cjs", NODE.into()),
            ("browser", BROWSER.into()),
        ] {
            fs::write(folder.path(name), content).map_err(cannot_write)?;
        }
        fs::set_permissions(folder.path("browser"), fs::Permissions::from_mode(0o700)).map_err(cannot_write)?;
        Ok(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the variables of the command. `current` looks up those of this program, which are
    /// kept where several values can stand side by side.
    pub fn variables(&self, current: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
        let proxy: OsString = format!("http://{}", self.proxy).into();
        let direct: OsString = direct_hosts(current("NO_PROXY").or_else(|| current("no_proxy"))).into();
        let (bundle, authority) = (self.path("bundle.pem"), self.path("ca.pem"));
        let mut variables = vec![
            ("HTTPS_PROXY", proxy.clone()),
            ("https_proxy", proxy),
            ("NO_PROXY", direct.clone()),
            ("no_proxy", direct),
            ("SSL_CERT_FILE", bundle.clone().into()),
            ("REQUESTS_CA_BUNDLE", bundle.clone().into()),
            ("CURL_CA_BUNDLE", bundle.clone().into()),
            ("GIT_SSL_CAINFO", bundle.into()),
            ("NODE_EXTRA_CA_CERTS", authority.into()),
            // Node 24 and newer read HTTPS_PROXY with this.
            ("NODE_USE_ENV_PROXY", "1".into()),
            ("NODE_OPTIONS", appended(current("NODE_OPTIONS"), &require(&self.path("node.cjs")))),
            ("JAVA_TOOL_OPTIONS", appended(current("JAVA_TOOL_OPTIONS"), &self.java_options())),
            ("CLOUDPC_EXEC_HOSTS", HOSTS.join(",").into()),
            ("CLOUDPC_EXEC_SERVICE", self.service.clone().into()),
            ("CLOUDPC_EXEC_PAGES", self.pages.clone().into()),
            // Python ignores a browser without %s.
            ("BROWSER", format!("{} %s", self.path("browser").display()).into()),
        ];
        variables.extend(current("BROWSER").map(|browser| ("CLOUDPC_EXEC_BROWSER", browser)));
        variables
    }

    fn java_options(&self) -> String {
        let (host, port) = (self.proxy.ip(), self.proxy.port());
        format!(
            "-Dhttps.proxyHost={host} -Dhttps.proxyPort={port} -Dhttp.nonProxyHosts=localhost|127.*|[::1] \
             -Djavax.net.ssl.trustStore={} -Djavax.net.ssl.trustStoreType=JKS \
             -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
            self.path("trust.jks").display()
        )
    }
}

/// Returns the option that loads a module into Node. In `NODE_OPTIONS`, a path with blanks is
/// quoted.
fn require(module: &Path) -> String {
    format!("--require \"{}\"", module.display())
}

fn appended(current: Option<OsString>, more: &str) -> OsString {
    match current {
        Some(mut text) if !text.is_empty() => {
            text.push(" ");
            text.push(more);
            text
        }
        _ => more.into(),
    }
}

/// Returns the hosts to which programs connect without the proxy: those of this computer, and the
/// current ones that cover no host of the service.
fn direct_hosts(current: Option<OsString>) -> String {
    let current = current.unwrap_or_default().to_string_lossy().into_owned();
    let covers_ours = |entry: &&str| {
        let name = entry.trim_start_matches('*').trim_start_matches('.').to_ascii_lowercase();
        HOSTS.iter().any(|host| name.is_empty() || *host == name || host.ends_with(&format!(".{name}")))
    };
    let kept = current.split(',').map(str::trim).filter(|entry| !entry.is_empty() && !covers_ours(entry));
    [LOOPBACK].into_iter().chain(kept).collect::<Vec<_>>().join(",")
}

fn cannot_write(error: io::Error) -> CommandError {
    CommandError::local(format!("Cannot write the temporary files of the command: {error}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder {
        let proxy = "127.0.0.1:4711".parse().unwrap();
        let (service, pages) = ("127.0.0.1:8366".to_owned(), "http://127.0.0.1:8365".to_owned());
        Folder { folder: tempfile::tempdir().unwrap(), proxy, service, pages }
    }

    #[test]
    fn the_commands_variables_name_the_proxy_and_the_files() {
        let folder = folder();
        let lines: Vec<String> = folder
            .variables(|_| None)
            .into_iter()
            .map(|(name, value)| {
                let value = value.into_string().unwrap().replace(folder.folder.path().to_str().unwrap(), "FOLDER");
                format!("{name}={value}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        HTTPS_PROXY=http://127.0.0.1:4711
        https_proxy=http://127.0.0.1:4711
        NO_PROXY=localhost,127.0.0.1,::1
        no_proxy=localhost,127.0.0.1,::1
        SSL_CERT_FILE=FOLDER/bundle.pem
        REQUESTS_CA_BUNDLE=FOLDER/bundle.pem
        CURL_CA_BUNDLE=FOLDER/bundle.pem
        GIT_SSL_CAINFO=FOLDER/bundle.pem
        NODE_EXTRA_CA_CERTS=FOLDER/ca.pem
        NODE_USE_ENV_PROXY=1
        NODE_OPTIONS=--require "FOLDER/node.cjs"
        JAVA_TOOL_OPTIONS=-Dhttps.proxyHost=127.0.0.1 -Dhttps.proxyPort=4711 -Dhttp.nonProxyHosts=localhost|127.*|[::1] -Djavax.net.ssl.trustStore=FOLDER/trust.jks -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStorePassword=changeit
        CLOUDPC_EXEC_HOSTS=graph.microsoft.com,login.microsoftonline.com,management.azure.com
        CLOUDPC_EXEC_SERVICE=127.0.0.1:8366
        CLOUDPC_EXEC_PAGES=http://127.0.0.1:8365
        BROWSER=FOLDER/browser %s
        "#);
    }

    #[test]
    fn options_of_this_programs_environment_are_kept() {
        let current = |name: &str| match name {
            "NODE_OPTIONS" => Some("--trace-warnings".into()),
            "BROWSER" => Some("w3m".into()),
            _ => None,
        };
        let variables = folder().variables(current);
        let value = |name| variables.iter().find(|(known, _)| *known == name).unwrap().1.to_str().unwrap().to_owned();
        assert!(value("NODE_OPTIONS").starts_with("--trace-warnings --require "), "{}", value("NODE_OPTIONS"));
        assert_eq!(value("CLOUDPC_EXEC_BROWSER"), "w3m");
    }

    #[test]
    fn no_host_of_the_service_is_reached_without_the_proxy() {
        for (current, expected) in [
            ("", LOOPBACK.to_owned()),
            ("intranet.test, .corp.test", format!("{LOOPBACK},intranet.test,.corp.test")),
            ("*", LOOPBACK.to_owned()),
            ("com,.com,*.microsoft.com,Graph.Microsoft.com", LOOPBACK.to_owned()),
            ("soft.com,evil-graph.microsoft.com", format!("{LOOPBACK},soft.com,evil-graph.microsoft.com")),
        ] {
            assert_eq!(direct_hosts(Some(current.into())), expected, "{current}");
        }
    }
}
