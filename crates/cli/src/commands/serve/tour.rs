//! What `cloudpc serve` prints: where it listens, and for the demo commands to paste.

use cloudpc_server::start::Server;
use std::fmt::Write as _;
use std::path::Path;

use crate::commands::cloud_pc::CLOUD_PCS;
use crate::connection::{Connection, DATA_DEFAULT};
use crate::failure::Failure;
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
    line("Data", format!("{}   credentials: {}", data.display(), data.join("admin.json").display()));
    told
}

/// Commands to paste, for the machines and the partner that are there. Of machines with screens the last one has a desktop.
pub async fn tour(data: &Path, have_screens: bool) -> Result<String, Failure> {
    let connection = Connection::open(Some(data.to_owned())).await?;
    let machines = connection.rows(CLOUD_PCS, &[("$filter", "startsWith(displayName,'desk-')")], None).await?;
    let partners = connection.rows("/beta/deviceManagement/virtualEndpoint/externalPartners", &[], Some(1)).await?;
    let mut names: Vec<_> = machines.iter().map(|row| text(row, "displayName")).collect();
    names.sort();
    let partner = partners.first().map(|row| text(row, "partnerId")).unwrap_or_default();
    let desktop = names.last().filter(|_| have_screens).map(String::as_str);
    Ok(write_tour(&program(), data, connection.address(), &connection.token(), &names, desktop, &partner))
}

fn write_tour(
    program: &str,
    data: &Path,
    address: &str,
    token: &str,
    names: &[String],
    desktop: Option<&str>,
    partner: &str,
) -> String {
    let data = if data == Path::new(DATA_DEFAULT) { String::new() } else { format!(" --data {}", data.display()) };
    let call = |words: &str| format!("{program} {words}{data}");
    let one = names.get(6).or_else(|| names.first()).map_or("NAME", String::as_str);
    let deployed = &names[..names.len().min(DEPLOYED)];
    let mut steps = vec![
        ("List the machines", call("list")),
        ("Reprovision one and watch it", call(&format!("reprovision {one} --wait"))),
        ("What became of it", call(&format!("results {one}"))),
        ("Deploy the partner's agent", call(&format!("partner deploy {partner} {} --wait", deployed.join(" ")))),
        ("Page through the results", call(&format!("partner results {partner}"))),
    ];
    steps.extend(desktop.map(|name| ("Look at a desktop in the browser", call(&format!("open {name}")))));
    let mut told = String::from("\nA tour, to paste into another terminal:\n");
    for (what, command) in steps {
        let _ = write!(told, "\n  # {what}\n  {command}\n");
    }
    let _ = write!(
        told,
        "\nThe same API for every Graph client, for instance curl. The token is good for an hour; `{}` prints another one.\n\n  \
         export TOKEN={token}\n  curl -H \"Authorization: Bearer $TOKEN\" '{address}{CLOUD_PCS}?$top=3'\n\n",
        call("token")
    );
    told
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
        let tour =
            write_tour("cloudpc", Path::new("/tmp/x"), "http://127.0.0.1:8365", "eyJ", &names, Some("desk-12"), "fab");
        insta::assert_snapshot!(tour, @r#"
        A tour, to paste into another terminal:

          # List the machines
          cloudpc list --data /tmp/x

          # Reprovision one and watch it
          cloudpc reprovision desk-07 --wait --data /tmp/x

          # What became of it
          cloudpc results desk-07 --data /tmp/x

          # Deploy the partner's agent
          cloudpc partner deploy fab desk-01 desk-02 desk-03 desk-04 desk-05 desk-06 desk-07 desk-08 desk-09 desk-10 --wait --data /tmp/x

          # Page through the results
          cloudpc partner results fab --data /tmp/x

          # Look at a desktop in the browser
          cloudpc open desk-12 --data /tmp/x

        The same API for every Graph client, for instance curl. The token is good for an hour; `cloudpc token --data /tmp/x` prints another one.

          export TOKEN=eyJ
          curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8365/beta/deviceManagement/virtualEndpoint/cloudPCs?$top=3'
        "#);
    }
}
