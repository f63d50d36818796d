//! Path resolution: table-driven checks of all spellings.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use cloudpc_graph::resolve::{PATH_BYTES_MAX, QUERY_BYTES_MAX};
use cloudpc_graph::{Edm, Method, Version};
use proptest::prelude::*;

/// Resolves `METHOD path?query`; returns key, scope, keys, arguments and path, or the error, in one
/// line.
fn resolved(version: Version, request: &str) -> String {
    let (method, address) = request.split_once(' ').unwrap();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    match Edm::of(version).resolve(Method::named(method).unwrap(), path, query) {
        Ok(target) => format!(
            "{} {:?} {:?} {:?} {}",
            target.operation.key, target.scope, target.keys, target.arguments, target.canonical_path
        ),
        Err(error) => format!("{error} [{}] {:?}", error.target.as_deref().unwrap_or_default(), error.allow),
    }
}

fn check(requests: &[&str]) -> String {
    requests.iter().map(|request| format!("{request}\n    {}\n", resolved(Version::Beta, request))).collect()
}

#[test]
fn paths_in_every_spelling() {
    insta::assert_snapshot!(check(&[
        "GET /deviceManagement/virtualEndpoint/cloudPCs",
        "GET /devicemanagement/VIRTUALENDPOINT/cloudpcs/",
        "GET //deviceManagement//virtualEndpoint//cloudPCs",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/$count",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/%24count",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
        "GET /deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')",
        "GET /deviceManagement/virtualEndpoint/cloudPCs(%278f3c1b52%27)",
        "GET /deviceManagement/virtualEndpoint/cloudPCs(8f3c1b52)",
        "GET /deviceManagement/virtualEndpoint/cloudPCs(id='8f3c1b52')",
        "GET /deviceManagement/virtualEndpoint/cloudPCs('it''s')",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/a%2Fb%20c",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/CPC_(1)",
        "POST /deviceManagement/virtualEndpoint/cloudPCs('x')/reboot",
        "POST /deviceManagement/virtualEndpoint/cloudPCs/x/microsoft.graph.reboot",
        "POST /deviceManagement/virtualEndpoint/cloudPCs/x/Microsoft.Graph.poweron",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveCloudPcRemoteActionResults",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveCloudPCRemoteActionResults()",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/microsoft.graph.retrieveCloudPCRemoteActionResults( )",
        "GET /deviceManagement/managedDevices/x/getCloudPCRemoteActionResults",
        "GET /me/cloudPCs",
        "GET /ME/cloudpcs/x",
        "GET /users/ada@contoso.test/cloudPCs",
        "GET /users/ada%40contoso.test/cloudPCs/x",
        "GET /users('o''hara@contoso.test')/cloudPCs",
        "GET /users/o'hara@contoso.test/cloudPCs",
    ]), @r#"
    GET /deviceManagement/virtualEndpoint/cloudPCs
        cloudPC.list Tenant [] {} deviceManagement/virtualEndpoint/cloudPCs
    GET /devicemanagement/VIRTUALENDPOINT/cloudpcs/
        cloudPC.list Tenant [] {} deviceManagement/virtualEndpoint/cloudPCs
    GET //deviceManagement//virtualEndpoint//cloudPCs
        cloudPC.list Tenant [] {} deviceManagement/virtualEndpoint/cloudPCs
    GET /deviceManagement/virtualEndpoint/cloudPCs/$count
        cloudPC.count Tenant [] {} deviceManagement/virtualEndpoint/cloudPCs/$count
    GET /deviceManagement/virtualEndpoint/cloudPCs/%24count
        cloudPC.count Tenant [] {} deviceManagement/virtualEndpoint/cloudPCs/$count
    GET /deviceManagement/virtualEndpoint/cloudPCs/8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19
        cloudPC.get Tenant ["8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19"] {} deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19')
    GET /deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')
        cloudPC.get Tenant ["8f3c1b52"] {} deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')
    GET /deviceManagement/virtualEndpoint/cloudPCs(%278f3c1b52%27)
        cloudPC.get Tenant ["8f3c1b52"] {} deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')
    GET /deviceManagement/virtualEndpoint/cloudPCs(8f3c1b52)
        cloudPC.get Tenant ["8f3c1b52"] {} deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')
    GET /deviceManagement/virtualEndpoint/cloudPCs(id='8f3c1b52')
        cloudPC.get Tenant ["8f3c1b52"] {} deviceManagement/virtualEndpoint/cloudPCs('8f3c1b52')
    GET /deviceManagement/virtualEndpoint/cloudPCs('it''s')
        cloudPC.get Tenant ["it's"] {} deviceManagement/virtualEndpoint/cloudPCs('it''s')
    GET /deviceManagement/virtualEndpoint/cloudPCs/a%2Fb%20c
        cloudPC.get Tenant ["a/b c"] {} deviceManagement/virtualEndpoint/cloudPCs('a%2Fb%20c')
    GET /deviceManagement/virtualEndpoint/cloudPCs/CPC_(1)
        cloudPC.get Tenant ["CPC_(1)"] {} deviceManagement/virtualEndpoint/cloudPCs('CPC_(1)')
    POST /deviceManagement/virtualEndpoint/cloudPCs('x')/reboot
        cloudPC.reboot Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/reboot
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/microsoft.graph.reboot
        cloudPC.reboot Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/reboot
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/Microsoft.Graph.poweron
        cloudPC.powerOn Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/powerOn
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveCloudPcRemoteActionResults
        cloudPC.retrieveCloudPCRemoteActionResults Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/retrieveCloudPCRemoteActionResults
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveCloudPCRemoteActionResults()
        cloudPC.retrieveCloudPCRemoteActionResults Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/retrieveCloudPCRemoteActionResults
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/microsoft.graph.retrieveCloudPCRemoteActionResults( )
        cloudPC.retrieveCloudPCRemoteActionResults Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/retrieveCloudPCRemoteActionResults
    GET /deviceManagement/managedDevices/x/getCloudPCRemoteActionResults
        managedDevice.getCloudPcRemoteActionResults Tenant ["x"] {} deviceManagement/managedDevices('x')/getCloudPcRemoteActionResults
    GET /me/cloudPCs
        cloudPC.list Me [] {} me/cloudPCs
    GET /ME/cloudpcs/x
        cloudPC.get Me ["x"] {} me/cloudPCs('x')
    GET /users/ada@contoso.test/cloudPCs
        cloudPC.list User("ada@contoso.test") [] {} users('ada@contoso.test')/cloudPCs
    GET /users/ada%40contoso.test/cloudPCs/x
        cloudPC.get User("ada@contoso.test") ["x"] {} users('ada@contoso.test')/cloudPCs('x')
    GET /users('o''hara@contoso.test')/cloudPCs
        cloudPC.list User("o'hara@contoso.test") [] {} users('o''hara@contoso.test')/cloudPCs
    GET /users/o'hara@contoso.test/cloudPCs
        cloudPC.list User("o'hara@contoso.test") [] {} users('o''hara@contoso.test')/cloudPCs
    "#);
}

#[test]
fn arguments_in_every_spelling() {
    let partner = "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults";
    let spellings: Vec<String> = [
        "",
        "()",
        "(activityId='a',cloudPcId='c')",
        "(activityId='a', cloudPcId='c')",
        "(cloudPcId='c',activityId='a')",
        "(ACTIVITYID='a',cloudpcid='c')",
        "(activityId='a'cloudPcId='c')",
        "(activityId=%27a%27cloudPcId=%27c%27)",
        "(activityId%3D%27a%27%2CcloudPcId%3D%27c%27)",
        "(activityId='a')",
        "(activityId='',cloudPcId='')",
        "(activityId='',cloudPcId='c')",
        "(activityId=a,cloudPcId=c)",
        "(activityId=@a,cloudPcId=@c)?@a='1'&@c='2'",
        "(activityId=@a,cloudPcId=@c)?@a='1'",
        "(activityId=@a,cloudPcId=@c)?%40a=%271%27",
        "(activityId=@acloudPcId=@c)?@a='1'&@c='2'",
        "(activityId='@activityId',cloudPcId='@cloudPcId')?activityId=a&cloudPcId=c",
        "(activityId='@activityId'cloudPcId='@cloudPcId')?activityId=a&cloudPcId=c",
        "(activityId='@activityId'cloudPcId='@cloudPcId')?activityId=a",
        "(activityId='@activityId'cloudPcId='@cloudPcId')?cloudPcId=c&$top=5",
        "(activityId='@activityId'cloudPcId='@cloudPcId')",
        "(activityId=%27@activityId%27cloudPcId=%27@cloudPcId%27)?activityId=",
        "?activityId=a&cloudPcId=c",
        "?activityId='a'&cloudPcId='c'",
        "?ActivityId=a",
        "()?cloudPcId=c",
        "(activityId='it''s')",
        "(activityId='a(b)',cloudPcId='c,d=e')",
        "(activityId='a%2Fb')",
        // Invalid arguments.
        "(activityId='a'",
        "(activityId='a)",
        "(activityId=')",
        "(activityId='a',)",
        "(activityId='a','c')",
        "(activityId=)",
        "(activityId=a'b)",
        "(activityId='a'b)",
        "(activityId=a=b)",
        "(activityId='a%00')",
        "(activityId='%zz')",
        "(activityId='%ff')",
        "(activity='a')",
        "(activityId=null,cloudPcId=null)",
        "(activityId=NULL,cloudPcId='c')",
        "(activityId='null')",
        "(activityId=nullcloudPcId=null)",
        "(activityId=@a,cloudPcId=@c)?@a=null&@c=NULL",
        "?activityId=null&cloudPcId=c",
        "(activityId=undefined)",
        "(activityId=$activityId)",
        "(activityId=8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19,cloudPcId=0)",
        "(activityId=8F3C1B52-6d0e-4a57-9d5b-0f2a6c7e4b19)",
        "(activityId='a',activityId='b')",
        "(activityId='@activityId')?activityId=a&ActivityId=b",
        "?activityId='a",
    ]
    .iter()
    .map(|spelling| {
        let resolved = resolved(Version::Beta, &format!("GET {partner}{spelling}"));
        let resolved = resolved.replace("cloudPcExternalPartner.retrieveDeployAgentActionResults Tenant [\"p\"] ", "");
        let resolved = resolved
            .replace("deviceManagement/virtualEndpoint/externalPartners('p')/retrieveDeployAgentActionResults", "");
        format!("{spelling}\n    {}\n", resolved.trim_end())
    })
    .collect();
    insta::assert_snapshot!(spellings.concat(), @r#"
        {}
    ()
        {}
    (activityId='a',cloudPcId='c')
        {"activityId": "a", "cloudPcId": "c"}
    (activityId='a', cloudPcId='c')
        {"activityId": "a", "cloudPcId": "c"}
    (cloudPcId='c',activityId='a')
        {"activityId": "a", "cloudPcId": "c"}
    (ACTIVITYID='a',cloudpcid='c')
        {"activityId": "a", "cloudPcId": "c"}
    (activityId='a'cloudPcId='c')
        {"activityId": "a", "cloudPcId": "c"}
    (activityId=%27a%27cloudPcId=%27c%27)
        {"activityId": "a", "cloudPcId": "c"}
    (activityId%3D%27a%27%2CcloudPcId%3D%27c%27)
        {"activityId": "a", "cloudPcId": "c"}
    (activityId='a')
        {"activityId": "a"}
    (activityId='',cloudPcId='')
        {}
    (activityId='',cloudPcId='c')
        {"cloudPcId": "c"}
    (activityId=a,cloudPcId=c)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: 'a' is not quoted; write activityId='a', or activityId=null to omit it. [retrieveDeployAgentActionResults] []
    (activityId=@a,cloudPcId=@c)?@a='1'&@c='2'
        {"activityId": "1", "cloudPcId": "2"}
    (activityId=@a,cloudPcId=@c)?@a='1'
        {"activityId": "1"}
    (activityId=@a,cloudPcId=@c)?%40a=%271%27
        {"activityId": "1"}
    (activityId=@acloudPcId=@c)?@a='1'&@c='2'
        {"activityId": "1", "cloudPcId": "2"}
    (activityId='@activityId',cloudPcId='@cloudPcId')?activityId=a&cloudPcId=c
        {"activityId": "a", "cloudPcId": "c"}
    (activityId='@activityId'cloudPcId='@cloudPcId')?activityId=a&cloudPcId=c
        {"activityId": "a", "cloudPcId": "c"}
    (activityId='@activityId'cloudPcId='@cloudPcId')?activityId=a
        {"activityId": "a"}
    (activityId='@activityId'cloudPcId='@cloudPcId')?cloudPcId=c&$top=5
        {"cloudPcId": "c"}
    (activityId='@activityId'cloudPcId='@cloudPcId')
        {}
    (activityId=%27@activityId%27cloudPcId=%27@cloudPcId%27)?activityId=
        {}
    ?activityId=a&cloudPcId=c
        {"activityId": "a", "cloudPcId": "c"}
    ?activityId='a'&cloudPcId='c'
        {"activityId": "a", "cloudPcId": "c"}
    ?ActivityId=a
        {"activityId": "a"}
    ()?cloudPcId=c
        {"cloudPcId": "c"}
    (activityId='it''s')
        {"activityId": "it's"}
    (activityId='a(b)',cloudPcId='c,d=e')
        {"activityId": "a(b)", "cloudPcId": "c,d=e"}
    (activityId='a%2Fb')
        {"activityId": "a/b"}
    (activityId='a'
        400 BadRequest: The parentheses of the segment 'retrieveDeployAgentActionResults(activityId='a'' are not closed. [retrieveDeployAgentActionResults] []
    (activityId='a)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: the quote of 'activityId' is not closed. [retrieveDeployAgentActionResults] []
    (activityId=')
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: the quote of 'activityId' is not closed. [retrieveDeployAgentActionResults] []
    (activityId='a',)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: a comma must be followed by an argument. [retrieveDeployAgentActionResults] []
    (activityId='a','c')
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: ''c'' is not an argument of the form name=value. [retrieveDeployAgentActionResults] []
    (activityId=)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: 'activityId' has no value. [retrieveDeployAgentActionResults] []
    (activityId=a'b)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: the value of 'activityId' has a stray quote. [retrieveDeployAgentActionResults] []
    (activityId='a'b)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: 'b' is not an argument of the form name=value. [retrieveDeployAgentActionResults] []
    (activityId=a=b)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: the value of 'activityId' has a stray '='. [retrieveDeployAgentActionResults] []
    (activityId='a%00')
        400 BadRequest: The segment 'retrieveDeployAgentActionResults(activityId='a%00')' is invalid: it contains a control character. [retrieveDeployAgentActionResults(activityId='a%00')] []
    (activityId='%zz')
        400 BadRequest: The segment 'retrieveDeployAgentActionResults(activityId='%zz')' is invalid: '%' must be followed by two hexadecimal digits. [retrieveDeployAgentActionResults(activityId='%zz')] []
    (activityId='%ff')
        400 BadRequest: The segment 'retrieveDeployAgentActionResults(activityId='%ff')' is invalid: its bytes are not UTF-8. [retrieveDeployAgentActionResults(activityId='%ff')] []
    (activity='a')
        400 BadRequest: The function 'retrieveDeployAgentActionResults' has no parameter 'activity'; it takes activityId, cloudPcId. [activity] []
    (activityId=null,cloudPcId=null)
        {}
    (activityId=NULL,cloudPcId='c')
        {"cloudPcId": "c"}
    (activityId='null')
        {"activityId": "null"}
    (activityId=nullcloudPcId=null)
        {}
    (activityId=@a,cloudPcId=@c)?@a=null&@c=NULL
        {}
    ?activityId=null&cloudPcId=c
        {"cloudPcId": "c"}
    (activityId=undefined)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: 'undefined' is not quoted; write activityId='undefined', or activityId=null to omit it. [retrieveDeployAgentActionResults] []
    (activityId=$activityId)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: '$activityId' is not quoted; write activityId='$activityId', or activityId=null to omit it. [retrieveDeployAgentActionResults] []
    (activityId=8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19,cloudPcId=0)
        400 BadRequest: The arguments of 'retrieveDeployAgentActionResults' are invalid: '0' is not quoted; write cloudPcId='0', or cloudPcId=null to omit it. [retrieveDeployAgentActionResults] []
    (activityId=8F3C1B52-6d0e-4a57-9d5b-0f2a6c7e4b19)
        {"activityId": "8F3C1B52-6d0e-4a57-9d5b-0f2a6c7e4b19"}
    (activityId='a',activityId='b')
        400 BadRequest: The argument 'activityId' is given twice. [activityId] []
    (activityId='@activityId')?activityId=a&ActivityId=b
        400 BadRequest: The argument 'activityId' is given twice. [activityId] []
    ?activityId='a
        400 BadRequest: The quotes of the argument 'activityId' do not match. [activityId] []
    "#);
}

#[test]
fn arguments_of_other_functions() {
    insta::assert_snapshot!(check(&[
        "GET /deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs(groupId='g'servicePlanId='s')",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs(groupId='g')",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveSnapshots(id='a')",
        "GET /roleManagement/cloudPC/roleDefinitions/r/assignedPrincipals(transitive=@transitivedirectoryScopeType='@directoryScopeType'directoryScopeId='@directoryScopeId')?transitive=true&directoryScopeId=d",
        "GET /roleManagement/cloudPC/roleDefinitions/r/assignedPrincipals(transitive=truedirectoryScopeType='a'directoryScopeId='b')",
    ]), @r#"
    GET /deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs(groupId='g'servicePlanId='s')
        cloudPC.getProvisionedCloudPCs Tenant [] {"groupId": "g", "servicePlanId": "s"} deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs
    GET /deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs(groupId='g')
        cloudPC.getProvisionedCloudPCs Tenant [] {"groupId": "g"} deviceManagement/virtualEndpoint/cloudPCs/getProvisionedCloudPCs
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveSnapshots(id='a')
        400 BadRequest: The function 'retrieveSnapshots' has no parameter 'id'; it takes none. [id] []
    GET /roleManagement/cloudPC/roleDefinitions/r/assignedPrincipals(transitive=@transitivedirectoryScopeType='@directoryScopeType'directoryScopeId='@directoryScopeId')?transitive=true&directoryScopeId=d
        roleDefinitions.assignedPrincipals Tenant ["r"] {"directoryScopeId": "d", "transitive": "true"} roleManagement/cloudPC/roleDefinitions('r')/assignedPrincipals
    GET /roleManagement/cloudPC/roleDefinitions/r/assignedPrincipals(transitive=truedirectoryScopeType='a'directoryScopeId='b')
        roleDefinitions.assignedPrincipals Tenant ["r"] {"directoryScopeId": "b", "directoryScopeType": "a", "transitive": "true"} roleManagement/cloudPC/roleDefinitions('r')/assignedPrincipals
    "#);
}

#[test]
fn own_operations() {
    let cloud_pc = "/deviceManagement/virtualEndpoint/cloudPCs/x";
    let partner = "/deviceManagement/virtualEndpoint/externalPartners/p";
    insta::assert_snapshot!(check(&[
        &format!("GET {cloud_pc}/cloudpc.actions"),
        &format!("GET {cloud_pc}/cloudpc.actions()"),
        &format!("GET {cloud_pc}/CloudPC.Actions/17"),
        &format!("GET {cloud_pc}/cloudpc.actions('17')"),
        &format!("POST {cloud_pc}/cloudpc.actions/17/cloudpc.cancel"),
        &format!("POST {cloud_pc}/cloudpc.actions()/17/cloudpc.settle"),
        "GET /me/cloudPCs/x/cloudpc.actions",
        &format!("GET {partner}/cloudpc.activities/a/cloudpc.actions"),
        &format!("POST {partner}/cloudpc.activities/a/cloudpc.cancel"),
        &format!("POST {partner}/cloudpc.heartbeat"),
        &format!("POST {partner}/cloudpc.allowUrls"),
        &format!("GET {cloud_pc}/actions"),
        &format!("POST {cloud_pc}/cloudpc.actions/17/cancel"),
        &format!("GET {partner}/cloudpc.activities"),
    ]), @r#"
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions
        cloudPC.actions Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions()
        cloudPC.actions Tenant ["x"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/CloudPC.Actions/17
        action.get Tenant ["x", "17"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions('17')
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions('17')
        action.get Tenant ["x", "17"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions('17')
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions/17/cloudpc.cancel
        action.cancel Tenant ["x", "17"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions('17')/cloudpc.cancel
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions()/17/cloudpc.settle
        action.settle Tenant ["x", "17"] {} deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions('17')/cloudpc.settle
    GET /me/cloudPCs/x/cloudpc.actions
        cloudPC.actions Me ["x"] {} me/cloudPCs('x')/cloudpc.actions
    GET /deviceManagement/virtualEndpoint/externalPartners/p/cloudpc.activities/a/cloudpc.actions
        activity.actions Tenant ["p", "a"] {} deviceManagement/virtualEndpoint/externalPartners('p')/cloudpc.activities('a')/cloudpc.actions
    POST /deviceManagement/virtualEndpoint/externalPartners/p/cloudpc.activities/a/cloudpc.cancel
        activity.cancel Tenant ["p", "a"] {} deviceManagement/virtualEndpoint/externalPartners('p')/cloudpc.activities('a')/cloudpc.cancel
    POST /deviceManagement/virtualEndpoint/externalPartners/p/cloudpc.heartbeat
        cloudPcExternalPartner.heartbeat Tenant ["p"] {} deviceManagement/virtualEndpoint/externalPartners('p')/cloudpc.heartbeat
    POST /deviceManagement/virtualEndpoint/externalPartners/p/cloudpc.allowUrls
        cloudPcExternalPartner.allowUrls Tenant ["p"] {} deviceManagement/virtualEndpoint/externalPartners('p')/cloudpc.allowUrls
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/actions
        400 BadRequest: Resource not found for the segment 'actions'. [actions] []
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions/17/cancel
        400 BadRequest: Resource not found for the segment 'cancel'. [cancel] []
    GET /deviceManagement/virtualEndpoint/externalPartners/p/cloudpc.activities
        400 BadRequest: Resource not found for the segment 'cloudpc.activities'. [cloudpc.activities] []
    "#);
}

#[test]
fn unknown_paths() {
    insta::assert_snapshot!(check(&[
        "GET /",
        "GET /me/me/me/me/me/me/me/me/me/me/me/me",
        "GET /deviceManagement",
        "GET /deviceManagement/virtualEndpoint/cloudPC",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/restart",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/reboot/now",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/%00",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/%1",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/%",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/%C3%28",
        "GET /deviceManagement/virtualEndpoint/cloudPCs('x",
        "GET /deviceManagement/virtualEndpoint/cloudPCs('x'y)",
        "GET /deviceManagement/virtualEndpoint/cloudPCs()",
        "GET /deviceManagement/virtualEndpoint/cloudPCs(x'y)",
        "POST /deviceManagement/virtualEndpoint/cloudPCs/x/reboot()",
        "GET /me/photo",
        "GET /users/ada/photo",
        "GET /devices",
        "GET /cloudPCs",
        "GET /deviceManagement/virtualEndpoint/cloudPCs/x/reprovision",
        "PUT /deviceManagement/virtualEndpoint/externalPartners/p",
        "DELETE /deviceManagement/virtualEndpoint/cloudPCs",
    ]), @r#"
    GET /
        400 BadRequest: Resource not found for the segment ''. [] []
    GET /me/me/me/me/me/me/me/me/me/me/me/me
        400 BadRequest: Resource not found for the segment 'me'. [me] []
    GET /deviceManagement
        400 BadRequest: Resource not found for the segment 'deviceManagement'. [deviceManagement] []
    GET /deviceManagement/virtualEndpoint/cloudPC
        400 BadRequest: Resource not found for the segment 'cloudPC'. [cloudPC] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/restart
        400 BadRequest: Resource not found for the segment 'restart'. [restart] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/reboot/now
        400 BadRequest: Resource not found for the segment 'now'. [now] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/%00
        400 BadRequest: The segment '%00' is invalid: it contains a control character. [%00] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/%1
        400 BadRequest: The segment '%1' is invalid: '%' must be followed by two hexadecimal digits. [%1] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/%
        400 BadRequest: The segment '%' is invalid: '%' must be followed by two hexadecimal digits. [%] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/%C3%28
        400 BadRequest: The segment '%C3%28' is invalid: its bytes are not UTF-8. [%C3%28] []
    GET /deviceManagement/virtualEndpoint/cloudPCs('x
        400 BadRequest: The parentheses of the segment 'cloudPCs('x' are not closed. [cloudPCs] []
    GET /deviceManagement/virtualEndpoint/cloudPCs('x'y)
        400 BadRequest: The key in the segment 'cloudPCs('x'y)' is invalid. [cloudPCs] []
    GET /deviceManagement/virtualEndpoint/cloudPCs()
        400 BadRequest: The key in the segment 'cloudPCs()' is invalid. [cloudPCs] []
    GET /deviceManagement/virtualEndpoint/cloudPCs(x'y)
        400 BadRequest: The key in the segment 'cloudPCs(x'y)' is invalid. [cloudPCs] []
    POST /deviceManagement/virtualEndpoint/cloudPCs/x/reboot()
        400 BadRequest: Resource not found for the segment 'reboot()'. [reboot()] []
    GET /me/photo
        400 BadRequest: Resource not found for the segment 'photo'. [photo] []
    GET /users/ada/photo
        400 BadRequest: Resource not found for the segment 'photo'. [photo] []
    GET /devices
        400 BadRequest: Resource not found for the segment 'devices'. [devices] []
    GET /cloudPCs
        400 BadRequest: Resource not found for the segment 'cloudPCs'. [cloudPCs] []
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/reprovision
        405 Request_BadRequest: The segment 'reprovision' does not support the method GET. [] [Post]
    PUT /deviceManagement/virtualEndpoint/externalPartners/p
        405 Request_BadRequest: The segment 'p' does not support the method PUT. [] [Delete, Get, Patch]
    DELETE /deviceManagement/virtualEndpoint/cloudPCs
        405 Request_BadRequest: The segment 'cloudPCs' does not support the method DELETE. [] [Get, Post]
    "#);
}

#[test]
fn v1_lacks_beta_operations() {
    let resolved = |request| resolved(Version::V1, request);
    insta::assert_snapshot!(resolved("POST /me/cloudPCs/x/reprovision"), @r#"cloudPC.reprovision Me ["x"] {} me/cloudPCs('x')/reprovision"#);
    insta::assert_snapshot!(resolved("POST /me/cloudPCs/x/powerOn"), @"400 BadRequest: Resource not found for the segment 'powerOn'. [powerOn] []");
    insta::assert_snapshot!(resolved("GET /deviceManagement/virtualEndpoint/externalPartners"), @"400 BadRequest: Resource not found for the segment 'externalPartners'. [externalPartners] []");
    insta::assert_snapshot!(resolved("GET /me/cloudPCs/x/cloudpc.actions"), @r#"cloudPC.actions Me ["x"] {} me/cloudPCs('x')/cloudpc.actions"#);
    insta::assert_snapshot!(
        resolved("GET /deviceManagement/virtualEndpoint/provisioningPolicies/p/assignments/a/assignedUsers(userPrincipalName='u')"),
        @r#"assignedUsers.get Tenant ["p", "a"] {"userPrincipalName": "u"} deviceManagement/virtualEndpoint/provisioningPolicies('p')/assignments('a')/assignedUsers"#
    );
    insta::assert_snapshot!(
        resolved("GET /deviceManagement/virtualEndpoint/provisioningPolicies/p/assignments/a/assignedUsers('u')/mailboxSettings"),
        @r#"mailboxSettings.get Tenant ["p", "a", "u"] {} deviceManagement/virtualEndpoint/provisioningPolicies('p')/assignments('a')/assignedUsers('u')/mailboxSettings"#
    );
}

#[test]
fn path_and_query_length_is_limited() {
    let edm = Edm::of(Version::Beta);
    let status = |path: &str, query: &str| edm.resolve(Method::Get, path, query).map_err(|error| error.status).err();
    let collection = "/deviceManagement/virtualEndpoint/cloudPCs/";
    let longest = format!("{collection}{}", "x".repeat(PATH_BYTES_MAX - collection.len()));
    assert_eq!(status(&longest, ""), None);
    assert_eq!(status(&format!("{longest}x"), ""), Some(414));
    assert_eq!(status(collection, &"x".repeat(QUERY_BYTES_MAX)), None);
    assert_eq!(status(collection, &"x".repeat(QUERY_BYTES_MAX + 1)), Some(414));
}

#[test]
fn contexts() {
    let context = |version: Version, request: &str, select: Option<&[&str]>| {
        let (method, path) = request.split_once(' ').unwrap();
        let edm = Edm::of(version);
        let target = edm.resolve(Method::named(method).unwrap(), path, "").unwrap();
        let select: Option<Vec<String>> = select.map(|names| names.iter().map(|&name| name.to_owned()).collect());
        target.context(edm, "https://h/beta", select.as_deref()).unwrap_or_default()
    };
    let root = "/deviceManagement/virtualEndpoint";
    let resolved: Vec<String> = [
        (format!("GET {root}/cloudPCs"), None),
        (format!("GET {root}/cloudPCs"), Some(["id", "displayName"].as_slice())),
        (format!("GET {root}/cloudPCs/x"), None),
        (format!("GET {root}/cloudPCs/x"), Some(["id"].as_slice())),
        (format!("GET {root}/cloudPCs/$count"), None),
        ("GET /me/cloudPCs".into(), None),
        ("GET /users/ada@contoso.test/cloudPCs/x".into(), None),
        (format!("POST {root}/externalPartners"), None),
        (format!("PATCH {root}/externalPartners/p"), None),
        (format!("DELETE {root}/externalPartners/p"), None),
        (format!("GET {root}/organizationSettings"), None),
        (format!("GET {root}/provisioningPolicies/p/assignments"), None),
        (format!("GET {root}/cloudPCs/x/retrieveCloudPCRemoteActionResults"), None),
        (format!("GET {root}/cloudPCs/x/retrieveReviewStatus"), None),
        (format!("POST {root}/externalPartners/p/deployAgent"), None),
        (format!("GET {root}/cloudPCs/x/cloudpc.actions"), None),
        (format!("GET {root}/cloudPCs/x/cloudpc.actions/17"), None),
        (format!("GET {root}/auditEvents/getAuditActivityTypes"), None),
    ]
    .iter()
    .map(|(request, select)| format!("{request}\n    {}\n", context(Version::Beta, request, *select)))
    .collect();
    insta::assert_snapshot!(resolved.concat(), @r#"
    GET /deviceManagement/virtualEndpoint/cloudPCs
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs
    GET /deviceManagement/virtualEndpoint/cloudPCs
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(id,displayName)
    GET /deviceManagement/virtualEndpoint/cloudPCs/x
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs/$entity
    GET /deviceManagement/virtualEndpoint/cloudPCs/x
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs(id)/$entity
    GET /deviceManagement/virtualEndpoint/cloudPCs/$count
        
    GET /me/cloudPCs
        https://h/beta/$metadata#me/cloudPCs
    GET /users/ada@contoso.test/cloudPCs/x
        https://h/beta/$metadata#users('ada@contoso.test')/cloudPCs/$entity
    POST /deviceManagement/virtualEndpoint/externalPartners
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity
    PATCH /deviceManagement/virtualEndpoint/externalPartners/p
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/externalPartners/$entity
    DELETE /deviceManagement/virtualEndpoint/externalPartners/p
        
    GET /deviceManagement/virtualEndpoint/organizationSettings
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/organizationSettings
    GET /deviceManagement/virtualEndpoint/provisioningPolicies/p/assignments
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/provisioningPolicies('p')/assignments
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveCloudPCRemoteActionResults
        https://h/beta/$metadata#Collection(microsoft.graph.cloudPcRemoteActionResult)
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/retrieveReviewStatus
        https://h/beta/$metadata#microsoft.graph.cloudPcReviewStatus
    POST /deviceManagement/virtualEndpoint/externalPartners/p/deployAgent
        https://h/beta/$metadata#Edm.String
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions
        https://h/beta/$metadata#Collection(cloudpc.action)
    GET /deviceManagement/virtualEndpoint/cloudPCs/x/cloudpc.actions/17
        https://h/beta/$metadata#deviceManagement/virtualEndpoint/cloudPCs('x')/cloudpc.actions/$entity
    GET /deviceManagement/virtualEndpoint/auditEvents/getAuditActivityTypes
        https://h/beta/$metadata#Collection(Edm.String)
    "#);
}

#[test]
fn keys_of_canonical_paths_are_encoded() {
    let target = Edm::of(Version::Beta).resolve(Method::Get, "/users/a%2Fb%20%C3%A9%25'%23?x", "").unwrap();
    insta::assert_snapshot!(target.canonical_path, @"users('a%2Fb%20%C3%A9%25''%23%3Fx')");
    let target = Edm::of(Version::Beta).resolve(Method::Get, "/users/ada@contoso.test", "").unwrap();
    assert_eq!(target.canonical_path, "users('ada@contoso.test')");
}

proptest! {
    #[test]
    fn quoted_argument_round_trips(value in "[^\u{0}-\u{1f}\u{7f}-\u{9f}@][^\u{0}-\u{1f}\u{7f}-\u{9f}]{0,20}") {
        let encoded: String = value.replace('\'', "''").bytes().map(|byte| format!("%{byte:02X}")).collect();
        let path = format!(
            "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults(activityId='{encoded}'cloudPcId='c')"
        );
        let target = Edm::of(Version::Beta).resolve(Method::Get, &path, "").unwrap();
        prop_assert_eq!(&target.arguments["activityId"], &value);
        prop_assert_eq!(&target.arguments["cloudPcId"], "c");
    }
}

#[test]
fn arguments_are_type_checked() {
    let check = |path: &str| {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let target = Edm::of(Version::Beta).resolve(Method::Get, path, query).unwrap();
        target.check_arguments().map_err(|error| format!("{error} [{}]", error.target.as_deref().unwrap_or_default()))
    };
    let results = |arguments: &str| {
        check(&format!(
            "/deviceManagement/virtualEndpoint/externalPartners/p/retrieveDeployAgentActionResults{arguments}"
        ))
    };
    let id = "8F3C1B52-6d0e-4a57-9d5b-0f2a6c7e4b19";
    for right in [
        String::new(),
        "(activityId=null,cloudPcId='')".into(),
        format!("(activityId='{id}',cloudPcId={id})"),
        format!("(activityId='@activityId'cloudPcId='@cloudPcId')?cloudPcId={id}"),
    ] {
        assert_eq!(results(&right), Ok(()), "{right}");
    }
    for wrong in ["(activityId='a')", "(cloudPcId='null')", "?activityId=undefined", "(activityId=@a)?@a='{}'"] {
        assert!(results(wrong).unwrap_err().starts_with("400"), "{wrong}");
    }
    insta::assert_snapshot!(results("(cloudPcId='desk-1')").unwrap_err(), @"400 BadRequest: The argument 'cloudPcId' must be a GUID such as 8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19, but is 'desk-1'. [cloudPcId]");
    let assigned = |transitive: &str| {
        check(&format!(
            "/roleManagement/cloudPC/roleDefinitions/r/assignedPrincipals(transitive={transitive},directoryScopeType='a',directoryScopeId='b')"
        ))
    };
    assert!(assigned("true").is_ok() && assigned("@t").is_ok());
    assert!(assigned("yes").is_err() && assigned("1").is_err());
}
