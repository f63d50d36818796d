//! Paging of deployment results while more arrive.

use cloudpc_server::views::partner::{DEPLOYMENT_FORMAT, finished_page};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::world::{PARTNER, TestServer, Who};

const PATH: &str = "/beta/deviceManagement/virtualEndpoint/externalPartners";
/// Results that exist when the client starts paging.
const RESULTS: usize = 1_234;

/// Deploys to `count` missing Cloud PCs, numbered from `first`. Each gives one result.
async fn deploy(world: &TestServer, first: usize, count: usize) {
    for chunk in (first..first + count).collect::<Vec<_>>().chunks(50) {
        let ids: Vec<_> = chunk.iter().map(|number| format!("machine-{number}")).collect();
        let body = Some(json!({"cloudPcIds": ids}));
        let reply = world.call(Who::Writer, "POST", &format!("{PATH}/{PARTNER}/deployAgent"), body).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
}

#[tokio::test]
async fn paging_returns_each_initial_result_once() {
    let world = TestServer::new().await;
    deploy(&world, 0, RESULTS).await;
    let mut seen = Vec::new();
    let mut sizes = Vec::new();
    let mut arrived = RESULTS;
    let results = format!("{PATH}/{PARTNER}/retrieveDeployAgentActionResults(activityId='',cloudPcId='')");
    let mut next = Some(results);
    while let Some(link) = next {
        let page = world.get(Who::Reader, &link).await;
        deploy(&world, arrived, 3).await;
        arrived += 3;
        let again = world.get(Who::Reader, &link).await;
        if seen.is_empty() {
            // The first page has no token; a client that starts again sees new results.
            assert_eq!(page.rows(), again.rows());
        } else {
            assert_eq!(page.body, again.body, "the same link gives the same page");
        }
        sizes.push(page.rows().len());
        seen.extend(page.rows().iter().map(|row| row["cloudPcId"].as_str().unwrap().to_owned()));
        next = page.next_link();
    }
    assert_eq!(sizes.iter().filter(|size| **size == 100).count(), 12);
    assert_eq!(seen.len(), RESULTS);
    let expected: BTreeSet<_> = (0..RESULTS).map(|number| format!("machine-{number}")).collect();
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[tokio::test]
async fn a_filtered_walk_leaves_out_results_that_arrive_meanwhile() {
    let world = TestServer::new().await;
    let results = format!("{PATH}/{PARTNER}/retrieveDeployAgentActionResults");
    let mut arrived = 30;
    deploy(&world, 0, arrived).await;
    for query in [
        "$filter=state%20eq%20'created'",
        "$filter=startswith(cloudPcId,'MACHINE')%20and%20state%20ne%20'failed'",
        "$filter=endswith(cloudPcId,'1')",
        "$filter=state%20in%20('created','pending')",
    ] {
        let expected = world.get(Who::Reader, &format!("{results}?$top=100&{query}")).await.rows();
        let (mut seen, mut next) = (Vec::new(), Some(format!("{results}?$top=4&{query}")));
        while let Some(link) = next {
            let page = world.get(Who::Reader, &link).await;
            assert_eq!(page.status, 200, "{link}: {}", page.body);
            deploy(&world, arrived, 1).await;
            arrived += 1;
            seen.extend(page.rows());
            next = page.next_link();
        }
        assert!(expected.len() > 2, "{query}");
        assert_eq!(seen, expected, "{query}");
    }
}

#[tokio::test]
async fn page_has_at_most_100_results() {
    let world = TestServer::new().await;
    deploy(&world, 0, 101).await;
    let results = format!("{PATH}/{PARTNER}/retrieveDeployAgentActionResults");
    let sizes = |reply: &crate::world::Reply| (reply.rows().len(), reply.json().get("@odata.nextLink").is_some());
    assert_eq!(sizes(&world.get(Who::Reader, &results).await), (100, true));
    assert_eq!(sizes(&world.get(Who::Reader, &format!("{results}?$top=500")).await), (100, true));
    assert_eq!(sizes(&world.get(Who::Reader, &format!("{results}?$top=7")).await), (7, true));
    let counted = world.get(Who::Reader, &format!("{results}?$top=1&$count=true")).await.json();
    assert_eq!(counted["@odata.count"], 101);
    let filtered = world.get(Who::Reader, &format!("{results}?$filter=cloudPcId%20eq%20'machine-100'")).await;
    assert_eq!(filtered.rows().iter().map(|row| row["cloudPcId"].clone()).collect::<Vec<Value>>(), ["machine-100"]);
}

/// Returns the link to the second page of 201 results that have all ended.
async fn link_between_ended_pages(world: &TestServer) -> String {
    deploy(world, 0, 201).await;
    world.run();
    world.rest().await;
    let finished = world.app.store.deployment_pages_finish(DEPLOYMENT_FORMAT, finished_page).await.unwrap();
    assert_eq!(finished, 2);
    let results = format!("{PATH}/{PARTNER}/retrieveDeployAgentActionResults");
    world.get(Who::Reader, &results).await.next_link().unwrap()
}

#[tokio::test]
async fn cached_page_requires_permission() {
    let world = TestServer::new().await;
    let link = link_between_ended_pages(&world).await;
    let page = world.get(Who::Reader, &link).await;
    assert_eq!((page.status.as_u16(), page.rows().len()), (200, 100));
    // The second response comes from the cache and is equal.
    assert_eq!(world.get(Who::Reader, &link).await.body, page.body);
    assert_eq!(world.get(Who::Writer, &link).await.body, page.body, "links belong to a tenant");
    let refused = [Who::Nobody, Who::Stranger, Who::Ada];
    let mut errors = Vec::new();
    for who in refused {
        errors.push(world.get(who, &link).await.error().0);
    }
    assert_eq!(errors, [403, 400, 400], "no permission; a link of another tenant; a link of an application");
    assert_eq!(world.call(Who::Reader, "POST", &link, None).await.error().0, 405);
}

#[tokio::test]
async fn cached_page_is_invalidated_with_its_partner() {
    let world = TestServer::new().await;
    let link = link_between_ended_pages(&world).await;
    for _ in 0..2 {
        assert_eq!(world.get(Who::Reader, &link).await.status, 200);
    }
    assert_eq!(world.call(Who::Writer, "DELETE", &format!("{PATH}/{PARTNER}"), None).await.status, 204);
    assert_eq!(world.get(Who::Reader, &link).await.status, 404);
}
