//! Query options: table-driven checks.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use cloudpc_graph::filter::FILTER_BYTES_MAX;
use cloudpc_graph::{Edm, Method, QueryOptions, Version};

/// Parses the options of `GET path?query`; returns them, or the error, in one line.
fn parsed(version: Version, request: &str) -> String {
    let (path, query) = request.split_once('?').unwrap_or((request, ""));
    let edm = Edm::of(version);
    let target = edm.resolve(Method::Get, path, query).unwrap();
    match QueryOptions::parse(edm, target.operation, &[], query) {
        Ok(options) => {
            let QueryOptions {
                select,
                filter,
                top,
                skip,
                count,
                orderby,
                skiptoken,
                deltatoken,
                filter_text,
                expand: _,
            } = options;
            assert_eq!(filter.is_some(), filter_text.is_some());
            let mut parts = Vec::new();
            parts.extend(select.map(|select| format!("select {select:?}")));
            parts.extend(filter_text.map(|text| format!("filter {text:?}")));
            parts.extend(top.map(|top| format!("top {top}")));
            parts.extend(skip.map(|skip| format!("skip {skip}")));
            parts.extend(count.then(|| "count".to_owned()));
            parts.extend((!orderby.is_empty()).then(|| format!("orderby {orderby:?}")));
            parts.extend(skiptoken.map(|token| format!("skiptoken {token:?}")));
            parts.extend(deltatoken.map(|token| format!("deltatoken {token:?}")));
            parts.join(", ")
        }
        Err(error) => format!("{error} [{}]", error.target.as_deref().unwrap_or_default()),
    }
}

fn check(version: Version, path: &str, queries: &[&str]) -> String {
    let lines = queries.iter().map(|query| format!("{query}\n    {}\n", parsed(version, &format!("{path}?{query}"))));
    lines.collect()
}

const CLOUD_PCS: &str = "/deviceManagement/virtualEndpoint/cloudPCs";
const RESULTS: &str = "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='@activityId'cloudPcId='@cloudPcId')";

#[test]
fn options_on_beta() {
    insta::assert_snapshot!(check(Version::Beta, CLOUD_PCS, &[
        "$select=id,displayName",
        "$select=ID,%20DISPLAYNAME",
        "%24select=id",
        "select=id",
        "$SELECT=id",
        "$select=*",
        "$select=*,id",
        "$select=id,id",
        "$select=disasterRecoveryCapability/capabilityType,id",
        "$select=",
        "$select=id,",
        "$select=colour",
        "$select=id/length",
        "$select=disasterRecoveryCapability/colour",
        "$top=5",
        "top=5&&",
        "$top=0",
        "$top=-1",
        "$top=+1",
        "$top=five",
        "$top=",
        "$top=99999999999999999999",
        "$top=5&$top=6",
        "$top=5&top=6",
        "$skip=0",
        "$skip=x",
        "$count=true",
        "$count=FALSE",
        "$count=yes",
        "$orderby=displayName",
        "$orderby=displayName%20desc,lastModifiedDateTime",
        "$orderby=displayname+DESC,status+asc",
        "$orderby=disasterRecoveryCapability/capabilityType",
        "$orderby=displayName+up",
        "$orderby=displayName+desc+id",
        "$orderby=displayName,displayName+desc",
        "$orderby=statusDetail",
        "$orderby=colour",
        "$orderby=",
        "$filter=displayName%20eq%20'a%26b'&$top=1",
        "$filter=status+eq+%27provisioned%27",
        "$filter=",
        "$filter=colour%20eq%20'red'",
        "$skiptoken=abc-_",
        "$skiptoken=",
        "$expand=assignments",
        "$expand=*",
        "$format=json",
        "$format=application/json;odata.metadata=minimal",
        "format=JSON",
        "$format=xml",
        "$format=",
        "$format=json&$format=json",
        "$search=%22a%22",
        "$format=json",
        "colour=red",
        "$",
        "=",
        "$top=%zz",
        "$top=%00",
        "@a='1'",
    ]), @r#"
    $select=id,displayName
        select ["id", "displayName"]
    $select=ID,%20DISPLAYNAME
        select ["id", "displayName"]
    %24select=id
        select ["id"]
    select=id
        select ["id"]
    $SELECT=id
        select ["id"]
    $select=*
        select ["*"]
    $select=*,id
        select ["*", "id"]
    $select=id,id
        select ["id"]
    $select=disasterRecoveryCapability/capabilityType,id
        select ["disasterRecoveryCapability/capabilityType", "id"]
    $select=
        400 BadRequest: The query option '$select' is invalid: it contains an empty property name. [$select]
    $select=id,
        400 BadRequest: The query option '$select' is invalid: it contains an empty property name. [$select]
    $select=colour
        400 BadRequest: The query option '$select' is invalid: Could not find a property named 'colour' on type 'microsoft.graph.cloudPC'. [$select]
    $select=id/length
        400 BadRequest: The query option '$select' is invalid: Could not find a property named 'length' on type 'Edm.String'. [$select]
    $select=disasterRecoveryCapability/colour
        400 BadRequest: The query option '$select' is invalid: Could not find a property named 'colour' on type 'microsoft.graph.cloudPcDisasterRecoveryCapability'. [$select]
    $top=5
        top 5
    top=5&&
        top 5
    $top=0
        400 BadRequest: The query option '$top' is invalid: it must be at least 1. [$top]
    $top=-1
        400 BadRequest: The query option '$top' is invalid: '-1' is not an integer from 0 to 18446744073709551615. [$top]
    $top=+1
        top 1
    $top=five
        400 BadRequest: The query option '$top' is invalid: 'five' is not an integer from 0 to 18446744073709551615. [$top]
    $top=
        400 BadRequest: The query option '$top' is invalid: '' is not an integer from 0 to 18446744073709551615. [$top]
    $top=99999999999999999999
        400 BadRequest: The query option '$top' is invalid: '99999999999999999999' is not an integer from 0 to 18446744073709551615. [$top]
    $top=5&$top=6
        400 BadRequest: The query option '$top' is invalid: it is given twice. [$top]
    $top=5&top=6
        400 BadRequest: The query option '$top' is invalid: it is given twice. [$top]
    $skip=0
        skip 0
    $skip=x
        400 BadRequest: The query option '$skip' is invalid: 'x' is not an integer from 0 to 18446744073709551615. [$skip]
    $count=true
        count
    $count=FALSE
        
    $count=yes
        400 BadRequest: The query option '$count' is invalid: 'yes' is neither true nor false. [$count]
    $orderby=displayName
        orderby [("displayName", false)]
    $orderby=displayName%20desc,lastModifiedDateTime
        orderby [("displayName", true), ("lastModifiedDateTime", false)]
    $orderby=displayname+DESC,status+asc
        orderby [("displayName", true), ("status", false)]
    $orderby=disasterRecoveryCapability/capabilityType
        orderby [("disasterRecoveryCapability/capabilityType", false)]
    $orderby=displayName+up
        400 BadRequest: The query option '$orderby' is invalid: 'up' is neither asc nor desc. [$orderby]
    $orderby=displayName+desc+id
        400 BadRequest: The query option '$orderby' is invalid: unexpected 'id'; separate properties with commas. [$orderby]
    $orderby=displayName,displayName+desc
        400 BadRequest: The query option '$orderby' is invalid: 'displayName' is named twice. [$orderby]
    $orderby=statusDetail
        400 BadRequest: The query option '$orderby' is invalid: sorting by 'statusDetail' is not supported. [$orderby]
    $orderby=colour
        400 BadRequest: The query option '$orderby' is invalid: Could not find a property named 'colour' on type 'microsoft.graph.cloudPC'. [$orderby]
    $orderby=
        400 BadRequest: The query option '$orderby' is invalid: it contains an empty property name. [$orderby]
    $filter=displayName%20eq%20'a%26b'&$top=1
        filter "displayName eq 'a&b'", top 1
    $filter=status+eq+%27provisioned%27
        filter "status eq 'provisioned'"
    $filter=
        400 BadRequest: $filter is invalid at character 1: expected a property, a value or a function. [$filter]
    $filter=colour%20eq%20'red'
        400 BadRequest: $filter is invalid at character 1: there is no property 'colour' on microsoft.graph.cloudPC (strings and enum members must be quoted). [$filter]
    $skiptoken=abc-_
        skiptoken "abc-_"
    $skiptoken=
        400 BadRequest: The query option '$skiptoken' is invalid: it is empty. [$skiptoken]
    $expand=assignments
        400 BadRequest: The query option '$expand' is invalid: expansion is not supported; request the related resource by its own path. [$expand]
    $expand=*
        
    $format=json
        
    $format=application/json;odata.metadata=minimal
        
    format=JSON
        
    $format=xml
        400 BadRequest: The query option '$format' is invalid: 'xml' is not supported; use json or application/json. [$format]
    $format=
        400 BadRequest: The query option '$format' is invalid: '' is not supported; use json or application/json. [$format]
    $format=json&$format=json
        400 BadRequest: The query option '$format' is invalid: it is given twice. [$format]
    $search=%22a%22
        filter "contains(tolower(displayName),'a')"
    $format=json
        
    colour=red
        400 BadRequest: Unknown query option 'colour'. [colour]
    $
        400 BadRequest: Unknown query option '$'. [$]
    =
        400 BadRequest: Unknown query option ''. []
    $top=%zz
        400 BadRequest: The value of a query option '%zz' is invalid: '%' must be followed by two hexadecimal digits. [%zz]
    $top=%00
        400 BadRequest: The value of a query option '%00' is invalid: it contains a control character. [%00]
    @a='1'
    "#);
}

#[test]
fn options_on_v1() {
    insta::assert_snapshot!(check(Version::V1, CLOUD_PCS, &[
        "$select=id&$top=2&$count=true",
        "select=id",
        "top=2",
        "$Top=2",
        "$select=status",
        "@a='1'",
    ]), @r#"
    $select=id&$top=2&$count=true
        select ["id"], top 2, count
    select=id
        400 BadRequest: Unknown query option 'select'. [select]
    top=2
        400 BadRequest: Unknown query option 'top'. [top]
    $Top=2
        top 2
    $select=status
        400 BadRequest: The query option '$select' is invalid: Could not find a property named 'status' on type 'microsoft.graph.cloudPC'. [$select]
    @a='1'
    "#);
}

#[test]
fn supported_options_depend_on_the_operation() {
    let parsed = |path: &str| parsed(Version::Beta, path);
    let paths = [
        format!("{RESULTS}?activityId=a&cloudPcId=c&$top=5"),
        format!("{RESULTS}?ACTIVITYID=a&@cloudPcId=c&$select=state"),
        format!("{RESULTS}?$orderby=state"),
        format!("{RESULTS}?$skiptoken=t"),
        format!("{CLOUD_PCS}/x?$select=id"),
        format!("{CLOUD_PCS}/x?$top=1"),
        format!("{CLOUD_PCS}/x?$skiptoken=t"),
        format!("{CLOUD_PCS}/delta?$deltatoken=t"),
        format!("{CLOUD_PCS}?$deltatoken=t"),
        format!("{CLOUD_PCS}/x?activityId=a"),
        format!("{CLOUD_PCS}/$count?$top=1"),
        format!("{CLOUD_PCS}/$count?$select=id"),
        format!("{CLOUD_PCS}/$count?$filter=status+eq+'failed'"),
        format!("{CLOUD_PCS}/x/cloudpc.actions?$select=id,state&$top=1"),
        format!("{CLOUD_PCS}/x/retrieveReviewStatus?$select=inReview"),
        format!("{CLOUD_PCS}/x/getSupportedCloudPcRemoteActions?$select=actionName"),
        "/deviceManagement/managedDevices/x/getCloudPcRemoteActionResults()?$top=1&$count=true".into(),
        "/deviceManagement/virtualEndpoint/auditEvents/getAuditActivityTypes()?$select=x".into(),
    ];
    let lines: Vec<String> = paths.iter().map(|path| format!("{path}\n    {}\n", parsed(path))).collect();
    insta::assert_snapshot!(lines.concat(), @r#"
    /deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='@activityId'cloudPcId='@cloudPcId')?activityId=a&cloudPcId=c&$top=5
        top 5
    /deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='@activityId'cloudPcId='@cloudPcId')?ACTIVITYID=a&@cloudPcId=c&$select=state
        select ["state"]
    /deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='@activityId'cloudPcId='@cloudPcId')?$orderby=state
        400 BadRequest: The query option '$orderby' is invalid: cloudPcExternalPartner.retrieveDeployAgentActionResults does not support it. [$orderby]
    /deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='@activityId'cloudPcId='@cloudPcId')?$skiptoken=t
        skiptoken "t"
    /deviceManagement/virtualEndpoint/cloudPCs/x?$select=id
        select ["id"]
    /deviceManagement/virtualEndpoint/cloudPCs/x?$top=1
        400 BadRequest: The query option '$top' is invalid: cloudPC.get does not support it. [$top]
    /deviceManagement/virtualEndpoint/cloudPCs/x?$skiptoken=t
        400 BadRequest: The query option '$skiptoken' is invalid: cloudPC.get does not support it. [$skiptoken]
    /deviceManagement/virtualEndpoint/cloudPCs/delta?$deltatoken=t
        deltatoken "t"
    /deviceManagement/virtualEndpoint/cloudPCs?$deltatoken=t
        400 BadRequest: The query option '$deltatoken' is invalid: cloudPC.list does not support it. [$deltatoken]
    /deviceManagement/virtualEndpoint/cloudPCs/x?activityId=a
        400 BadRequest: Unknown query option 'activityId'. [activityId]
    /deviceManagement/virtualEndpoint/cloudPCs/$count?$top=1
        400 BadRequest: The query option '$top' is invalid: cloudPC.count does not support it. [$top]
    /deviceManagement/virtualEndpoint/cloudPCs/$count?$select=id
        400 BadRequest: The query option '$select' is invalid: cloudPC.count does not support it. [$select]
    /deviceManagement/virtualEndpoint/cloudPCs/$count?$filter=status+eq+'failed'
        filter "status eq 'failed'"
    /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions?$select=id,state&$top=1
        select ["id", "state"], top 1
    /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveReviewStatus?$select=inReview
        select ["inReview"]
    /deviceManagement/virtualEndpoint/cloudPCs/x/getSupportedCloudPcRemoteActions?$select=actionName
        select ["actionName"]
    /deviceManagement/managedDevices/x/getCloudPcRemoteActionResults()?$top=1&$count=true
        top 1, count
    /deviceManagement/virtualEndpoint/auditEvents/getAuditActivityTypes()?$select=x
        400 BadRequest: The query option '$select' is invalid: Could not find a property named 'x' on type 'Edm.String'. [$select]
    "#);
}

#[test]
fn expansion_is_rejected_where_there_are_navigation_properties() {
    insta::assert_snapshot!(check(Version::V1, "/deviceManagement/managedDevices", &["$expand=*", "$expand=users", "$expand="]), @r#"
    $expand=*
        400 BadRequest: The query option '$expand' is invalid: expansion is not supported, and '*' stands for deviceCategory, deviceCompliancePolicyStates, deviceConfigurationStates, logCollectionRequests, users, windowsProtectionState; omit it. [$expand]
    $expand=users
        400 BadRequest: The query option '$expand' is invalid: expansion is not supported; request the related resource by its own path. [$expand]
    $expand=
        400 BadRequest: The query option '$expand' is invalid: expansion is not supported; request the related resource by its own path. [$expand]
    "#);
}

#[test]
fn a_search_that_is_too_long_is_named() {
    let path = "/deviceManagement/virtualEndpoint/cloudPCs";
    let filter = "displayName%20eq%20'a'";
    let search = |count: usize| format!("$search={}", "a".repeat(count));
    let most = FILTER_BYTES_MAX - "contains(tolower(displayName),'')".len();
    let read = |query: String| parsed(Version::Beta, &format!("{path}?{query}"));
    assert!(read(search(most)).starts_with("filter"));
    let refused = read(search(most + 1));
    assert!(refused.contains("'$search' is invalid: it has 1 bytes too many."), "{refused}");
    assert!(refused.ends_with("[$search]"), "{refused}");
    let refused = read(format!("$filter={filter}&{}", search(most)));
    assert!(refused.contains("too many together with $filter."), "{refused}");
}
