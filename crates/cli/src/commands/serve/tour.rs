//! What `cloudpc serve` prints: where it listens, and for the demo commands to paste.

use cloudpc_server::scenario::GeneratedPassword;
use cloudpc_server::start::{ADMIN_FILE, PASSWORDS_FILE, Server};
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::Path;

use crate::commands::cloud_pc::CLOUD_PCS;
use crate::connection::{DATA_DEFAULT, ServiceConnection};
use crate::failure::CommandError;
use crate::output::text;

/// How many machines the tour deploys to.
const DEPLOYED: usize = 10;

/// Where the service is found.
pub fn addresses(server: &Server, data: &Path) -> String {
    let mut told = String::from("cloudpc is ready.\n\n");
    let mut line = |name: &str, value: String| {
        let _ = writeln!(told, "  {name:<6} {value}");
    };
    if let Some(address) = server.http_address() {
        line("HTTP", format!("http://{address}"));
    }
    if let Some(address) = server.https_address() {
        line("HTTPS", format!("https://{address}   certificate authority: {}", data.join("ca.pem").display()));
    }
    if let Some(address) = server.proxy_address() {
        line("Proxy", format!("http://{address}"));
    }
    line("Data", format!("{}   credentials: {}", data.display(), data.join(ADMIN_FILE).display()));
    if data.join(PASSWORDS_FILE).exists() {
        line("Users", format!("generated passwords: {}", data.join(PASSWORDS_FILE).display()));
    }
    told
}

/// Reads the passwords that the first start generated; none if it generated none.
fn passwords(data: &Path) -> Result<Vec<GeneratedPassword>, CommandError> {
    let path = data.join(PASSWORDS_FILE);
    match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(CommandError::local(format!("Cannot read {}: {error}.", path.display()))),
        Ok(text) => serde_json::from_slice(&text)
            .map_err(|error| CommandError::local(format!("{} is invalid: {error}.", path.display()))),
    }
}

/// Commands to paste, for the machines and the partner that are there. Of machines with screens the
/// last one has a desktop.
pub async fn tour(data: &Path, have_screens: bool) -> Result<String, CommandError> {
    let connection = ServiceConnection::open(Some(data.to_owned())).await?;
    let machines = connection.rows(CLOUD_PCS, &[("$filter", "startsWith(displayName,'desk-')")], None).await?;
    let partners = connection.rows("/beta/deviceManagement/virtualEndpoint/externalPartners", &[], Some(1)).await?;
    let mut names: Vec<_> = machines.iter().map(|row| text(row, "displayName")).collect();
    names.sort();
    let partner = partners.first().map(|row| text(row, "partnerId")).unwrap_or_default();
    let desktop = names.last().filter(|_| have_screens).map(String::as_str);
    let tour = Tour {
        program: &program(),
        data,
        address: connection.address(),
        token: &connection.token(),
        names: &names,
        desktop,
        partner: &partner,
        passwords: &passwords(data)?,
    };
    Ok(tour.write())
}

/// What the tour names.
struct Tour<'a> {
    program: &'a str,
    data: &'a Path,
    /// URL of the service.
    address: &'a str,
    token: &'a str,
    /// Display names of the Cloud PCs.
    names: &'a [String],
    /// The one that has a desktop.
    desktop: Option<&'a str>,
    partner: &'a str,
    passwords: &'a [GeneratedPassword],
}

impl Tour<'_> {
    fn write(&self) -> String {
        let Self { program, data, address, token, names, desktop, partner, passwords } = *self;
        let data = if data == Path::new(DATA_DEFAULT) { String::new() } else { format!(" --data {}", data.display()) };
        let call = |words: &str| format!("{program} {words}{data}");
        let one = names.get(6).or_else(|| names.first()).map_or("NAME", String::as_str);
        let deployed = &names[..names.len().min(DEPLOYED)];
        let mut steps = vec![
            ("List the machines", call("list")),
            ("Reprovision one and watch it", call(&format!("reprovision {one} --wait"))),
            ("Show the results", call(&format!("results {one}"))),
            ("Deploy the partner's agent", call(&format!("partner deploy {partner} {} --wait", deployed.join(" ")))),
            ("Page through the results", call(&format!("partner results {partner}"))),
        ];
        steps.extend(desktop.map(|name| ("Look at a desktop in the browser", call(&format!("open {name}")))));
        let mut told = String::from("\nA tour to paste into another terminal:\n");
        for (what, command) in steps {
            let _ = write!(told, "\n  # {what}\n  {command}\n");
        }
        let _ = write!(
            told,
            "\nThe same API for every Graph client, for instance curl. The token is valid for an hour; `{}` prints a new one.\n\n  \
         export TOKEN={token}\n  curl -H \"Authorization: Bearer $TOKEN\" '{address}{CLOUD_PCS}?$top=3'\n\n",
            call("token")
        );
        if !passwords.is_empty() {
            let _ = write!(
                told,
                "People sign in with a device code at {address}/devicelogin, with these generated passwords:\n\n"
            );
            for GeneratedPassword { user_principal_name, password } in passwords {
                let _ = writeln!(told, "  {user_principal_name:<20} {password}");
            }
            told.push('\n');
        }
        told
    }
}

/// This program as it was called, so that a pasted command finds it.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "cloudpc".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tour_can_be_pasted() {
        let names: Vec<_> = (1..=12).map(|number| format!("desk-{number:02}")).collect();
        let ada = GeneratedPassword { user_principal_name: "ada@contoso.test".into(), password: "abcde-fghij".into() };
        let tour = Tour {
            program: "cloudpc",
            data: Path::new("/tmp/x"),
            address: "http://127.0.0.1:8365",
            token: "eyJ",
            names: &names,
            desktop: Some("desk-12"),
            partner: "fab",
            passwords: &[ada],
        };
        insta::assert_snapshot!(tour.write(), @r#"
        A tour to paste into another terminal:

          # List the machines
          cloudpc list --data /tmp/x

          # Reprovision one and watch it
          cloudpc reprovision desk-07 --wait --data /tmp/x

          # Show the results
          cloudpc results desk-07 --data /tmp/x

          # Deploy the partner's agent
          cloudpc partner deploy fab desk-01 desk-02 desk-03 desk-04 desk-05 desk-06 desk-07 desk-08 desk-09 desk-10 --wait --data /tmp/x

          # Page through the results
          cloudpc partner results fab --data /tmp/x

          # Look at a desktop in the browser
          cloudpc open desk-12 --data /tmp/x

        The same API for every Graph client, for instance curl. The token is valid for an hour; `cloudpc token --data /tmp/x` prints a new one.

          export TOKEN=eyJ
          curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8365/beta/deviceManagement/virtualEndpoint/cloudPCs?$top=3'

        People sign in with a device code at http://127.0.0.1:8365/devicelogin, with these generated passwords:

          ada@contoso.test     abcde-fghij
        "#);
    }
}
