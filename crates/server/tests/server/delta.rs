//! Delta functions: a client that follows their links holds what a full list shows.

use cloudpc_model::{Rng as _, SeededRng};
use http::Request;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::world::{BASE, Reply, TestServer, Who};

const CLOUD_PCS: &str = "/beta/deviceManagement/virtualEndpoint/cloudPCs";
const ACTIONS_SHOWN: &str = "$select=id,displayName,status,lastRemoteActionResult";

/// What a client of a delta function holds.
struct Held {
    list: String,
    entities: BTreeMap<String, Value>,
    /// The link to follow next.
    link: String,
}

impl Held {
    fn new(path: &str, query: &str) -> Self {
        let list = format!("{path}?{query}");
        Self { list, entities: BTreeMap::new(), link: format!("{path}/delta?{query}") }
    }

    /// Follows the links to the end, with pages of this many rows.
    async fn follow(&mut self, server: &TestServer, page_rows: u64) {
        loop {
            let page = get(server, &self.link, &format!("odata.maxpagesize={page_rows}")).await;
            assert_eq!(page.status, 200, "{}", page.body);
            let rows = page.rows();
            assert!(rows.len() as u64 <= page_rows);
            for row in rows {
                let id = row["id"].as_str().unwrap().to_owned();
                match row["@removed"]["reason"].as_str() {
                    Some(reason) => {
                        assert_eq!(reason, "deleted");
                        self.entities.remove(&id);
                    }
                    None => drop(self.entities.insert(id, row)),
                }
            }
            let page = page.json();
            match (page["@odata.nextLink"].as_str(), page["@odata.deltaLink"].as_str()) {
                (Some(next), None) => self.link = next.to_owned(),
                (None, Some(delta)) => {
                    self.link = delta.to_owned();
                    return;
                }
                both => panic!("a page has one link: {both:?}"),
            }
        }
    }

    async fn assert_is_the_list(&self, server: &TestServer) {
        let (mut all, mut link) = (BTreeMap::new(), Some(self.list.clone()));
        while let Some(page) = link {
            let page = server.get(Who::Ada, &page).await;
            all.extend(page.rows().into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)));
            link = page.next_link();
        }
        assert_eq!(self.entities, all, "{}", self.list);
    }
}

async fn get(server: &TestServer, path: &str, prefer: &str) -> Reply {
    let request = Request::get(path.strip_prefix(BASE).unwrap_or(path))
        .header("authorization", format!("Bearer {}", server.token(Who::Ada).await))
        .header("prefer", prefer);
    server.send(request.body(axum::body::Body::empty()).unwrap()).await
}

/// Makes one of several changes, whether or not it is allowed at the moment.
async fn change(server: &TestServer, rng: &SeededRng, number: u64) {
    let pick = async |path: &str| {
        let rows = server.get(Who::Ada, path).await.rows();
        let row = rng.below(rows.len() as u64);
        rows.get(usize::try_from(row).unwrap()).map(|row| row["id"].as_str().unwrap().to_owned()).unwrap_or_default()
    };
    let user = json!({
        "accountEnabled": true, "displayName": format!("User {number}"), "mailNickname": "user",
        "userPrincipalName": format!("user{number}@contoso.test"), "passwordProfile": {"password": "correct horse"},
    });
    let group = json!({
        "displayName": format!("Group {number}"), "mailEnabled": false, "mailNickname": "group", "securityEnabled": true,
    });
    let call = async |method: &str, path: &str, body| server.call(Who::Ada, method, path, body).await;
    let new = "$filter=startswith(displayName,'User')";
    match rng.below(10) {
        0 | 1 => call("POST", "/beta/users", Some(user)).await,
        2 => {
            let id = pick(&format!("/beta/users?{new}")).await;
            call("PATCH", &format!("/beta/users/{id}"), Some(json!({"displayName": format!("User {number}")}))).await
        }
        3 => {
            let id = pick(&format!("/beta/users?{new}")).await;
            call("DELETE", &format!("/beta/users/{id}"), None).await
        }
        4 => call("POST", "/beta/groups", Some(group)).await,
        5 => {
            let id = pick("/beta/groups").await;
            let sku = pick("/beta/subscribedSkus").await;
            let sku = sku.rsplit('_').next().unwrap_or_default();
            let body = json!({"addLicenses": [{"skuId": sku}], "removeLicenses": []});
            call("POST", &format!("/beta/groups/{id}/assignLicense"), Some(body)).await
        }
        6 => {
            let (group, user) = (pick("/beta/groups").await, pick("/beta/users").await);
            let body = json!({"@odata.id": format!("{BASE}/v1.0/users/{user}")});
            call("POST", &format!("/beta/groups/{group}/members/$ref"), Some(body)).await
        }
        7 => {
            let id = pick("/beta/groups").await;
            call("DELETE", &format!("/beta/groups/{id}"), None).await
        }
        8 => {
            let id = pick(CLOUD_PCS).await;
            let body = json!({"displayName": format!("desk {number}")});
            call("POST", &format!("{CLOUD_PCS}/{id}/rename"), Some(body)).await
        }
        _ => {
            let id = pick(CLOUD_PCS).await;
            call("POST", &format!("{CLOUD_PCS}/{id}/reboot"), None).await
        }
    };
}

#[tokio::test]
async fn the_changes_from_any_point_make_the_full_list() {
    for seed in 1..=4 {
        let (server, rng) = (TestServer::new().await, SeededRng::new(seed));
        server.run();
        let whole_user = "$select=id,displayName,userPrincipalName,assignedLicenses";
        let mut clients = [
            Held::new(CLOUD_PCS, ACTIONS_SHOWN),
            Held::new("/v1.0/deviceManagement/virtualEndpoint/cloudPCs", ""),
            Held::new("/beta/users", whole_user),
            Held::new("/v1.0/users", ""),
            Held::new("/beta/groups", "$select=id,displayName,assignedLicenses"),
        ];
        for round in 0..8 {
            for number in 0..rng.below(8) {
                change(&server, &rng, round * 100 + number).await;
            }
            if rng.below(2) == 0 {
                server.rest().await;
            }
            for client in &mut clients {
                if rng.below(2) == 0 {
                    client.follow(&server, 1 + rng.below(5)).await;
                    client.assert_is_the_list(&server).await;
                }
            }
        }
        server.rest().await;
        for client in &mut clients {
            client.follow(&server, 3).await;
            client.assert_is_the_list(&server).await;
        }
    }
}

#[tokio::test]
async fn changes_while_the_first_pages_are_read_are_not_lost() {
    let server = TestServer::new().await;
    for number in 0..3 {
        let user = json!({
            "accountEnabled": true, "displayName": "New", "mailNickname": "new",
            "userPrincipalName": format!("new{number}@contoso.test"), "passwordProfile": {"password": "correct horse"},
        });
        assert_eq!(server.call(Who::Ada, "POST", "/beta/users", Some(user)).await.status, 201);
    }
    let first = get(&server, "/beta/users/delta", "odata.maxpagesize=4").await;
    let is_new = |row: &&Value| row["displayName"] == "New";
    let deleted = first.rows().iter().find(is_new).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(server.call(Who::Ada, "DELETE", &format!("/beta/users/{deleted}"), None).await.status, 204);
    let mut client = Held::new("/beta/users", "");
    client.entities = first.rows().into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect();
    client.link = first.next_link().unwrap();
    client.follow(&server, 1).await;
    assert!(client.entities.contains_key(&deleted), "the first pages do not tell of the deletion");
    client.follow(&server, 1).await;
    client.assert_is_the_list(&server).await;
}

#[tokio::test]
async fn a_delta_begins_from_now_if_asked_to_and_refuses_foreign_and_old_tokens() {
    let server = TestServer::new().await;
    let latest = server.get(Who::Ada, "/beta/users/delta()?$deltatoken=latest").await;
    assert_eq!(latest.rows(), Vec::<Value>::new());
    let link = latest.json()["@odata.deltaLink"].as_str().unwrap().to_owned();
    assert_eq!(server.get(Who::Ada, &link).await.rows(), Vec::<Value>::new());

    let token = link.split_once("$deltatoken=").unwrap().1;
    let error = async |path: String| server.get(Who::Ada, &path).await.error();
    assert_eq!(error(format!("/beta/groups/delta?$deltatoken={token}")).await, (400, "BadRequest".into()));
    assert_eq!(error(format!("/beta/users/delta?$deltatoken={token}x")).await, (400, "BadRequest".into()));
    assert_eq!(error(format!("/beta/users/delta?$deltatoken={token}&$skiptoken={token}")).await.0, 400);
    assert_eq!(error(format!("/beta/users?$deltatoken={token}")).await.0, 400);

    let reset = server.app.store.write("test.write", |tx| tx.change_epoch_put(7));
    reset.await.unwrap();
    assert_eq!(server.get(Who::Ada, &link).await.error(), (410, "resyncRequired".into()));
}
