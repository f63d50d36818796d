// Command go-sdk drives a service with the whole Graph SDK for Go, each call with what it does by
// default. Its arguments are a tenant, a client id and a client secret. It stops at the first answer
// that is not as expected.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	msgraph "github.com/microsoftgraph/msgraph-sdk-go"
	graphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	"github.com/microsoftgraph/msgraph-sdk-go/devicemanagement"
	"github.com/microsoftgraph/msgraph-sdk-go/models"
	"github.com/microsoftgraph/msgraph-sdk-go/models/odataerrors"
)

// renameTimeMax is the longest time for which a renamed Cloud PC may keep its name.
const renameTimeMax = 30 * time.Second

func main() {
	credential, err := azidentity.NewClientSecretCredential(os.Args[1], os.Args[2], os.Args[3], nil)
	must(err)
	graph, err := msgraph.NewGraphServiceClientWithCredentials(credential, []string{"https://graph.microsoft.com/.default"})
	must(err)
	endpoint := graph.DeviceManagement().VirtualEndpoint()
	everyPage(graph, endpoint)
	rename(endpoint)
	policy(endpoint)
	unknown(endpoint)
}

// everyPage reads the Cloud PCs by pages of ten, and compares their number with `$count`.
func everyPage(graph *msgraph.GraphServiceClient, endpoint *devicemanagement.VirtualEndpointRequestBuilder) {
	ctx := context.Background()
	count, err := endpoint.CloudPCs().Count().Get(ctx, nil)
	must(err)
	ten := int32(10)
	options := &devicemanagement.VirtualEndpointCloudPCsRequestBuilderGetRequestConfiguration{
		QueryParameters: &devicemanagement.VirtualEndpointCloudPCsRequestBuilderGetQueryParameters{Top: &ten},
	}
	page, err := endpoint.CloudPCs().Get(ctx, options)
	must(err)
	expect(page.GetOdataNextLink() != nil, "more than one page")
	pages, err := graphcore.NewPageIterator[models.CloudPCable](
		page, graph.GetAdapter(), models.CreateCloudPCCollectionResponseFromDiscriminatorValue)
	must(err)
	seen := map[string]bool{}
	must(pages.Iterate(ctx, func(cloudPC models.CloudPCable) bool {
		seen[*cloudPC.GetId()] = true
		return true
	}))
	expect(len(seen) == int(*count), fmt.Sprintf("%d Cloud PCs, as counted, and not %d", *count, len(seen)))
}

// rename renames the first Cloud PC, and follows it until the action has ended.
func rename(endpoint *devicemanagement.VirtualEndpointRequestBuilder) {
	ctx := context.Background()
	one := int32(1)
	options := &devicemanagement.VirtualEndpointCloudPCsRequestBuilderGetRequestConfiguration{
		QueryParameters: &devicemanagement.VirtualEndpointCloudPCsRequestBuilderGetQueryParameters{
			Select: []string{"id", "displayName"}, Orderby: []string{"displayName"}, Top: &one,
		},
	}
	page, err := endpoint.CloudPCs().Get(ctx, options)
	must(err)
	expect(len(page.GetValue()) == 1, "one Cloud PC")
	cloudPC := endpoint.CloudPCs().ByCloudPCId(*page.GetValue()[0].GetId())
	name := "renamed by Go"
	body := devicemanagement.NewVirtualEndpointCloudPCsItemRenamePostRequestBody()
	body.SetDisplayName(&name)
	must(cloudPC.Rename().Post(ctx, body, nil))
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		read, err := cloudPC.Get(ctx, nil)
		must(err)
		if *read.GetDisplayName() == name {
			return
		}
		expect(time.Since(began) < renameTimeMax, "the new name, not "+*read.GetDisplayName())
	}
}

// policy creates a provisioning policy, reads it back and deletes it.
func policy(endpoint *devicemanagement.VirtualEndpointRequestBuilder) {
	ctx := context.Background()
	name, image := "Made by Go", "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"
	imageType, kind := models.GALLERY_CLOUDPCPROVISIONINGPOLICYIMAGETYPE, models.DEDICATED_CLOUDPCPROVISIONINGTYPE
	joinType, region := models.AZUREADJOIN_CLOUDPCDOMAINJOINTYPE, "automatic"
	join := models.NewCloudPcDomainJoinConfiguration()
	join.SetDomainJoinType(&joinType)
	join.SetRegionName(&region)
	wanted := models.NewCloudPcProvisioningPolicy()
	wanted.SetDisplayName(&name)
	wanted.SetImageId(&image)
	wanted.SetImageType(&imageType)
	wanted.SetProvisioningType(&kind)
	wanted.SetDomainJoinConfigurations([]models.CloudPcDomainJoinConfigurationable{join})
	made, err := endpoint.ProvisioningPolicies().Post(ctx, wanted, nil)
	must(err)
	address := endpoint.ProvisioningPolicies().ByCloudPcProvisioningPolicyId(*made.GetId())
	read, err := address.Get(ctx, nil)
	must(err)
	expect(*read.GetDisplayName() == name && *read.GetImageId() == image, "the policy as it was written")
	expect(*read.GetDomainJoinConfigurations()[0].GetDomainJoinType() == joinType, "its domain join")
	must(address.Delete(ctx, nil))
	_, err = address.Get(ctx, nil)
	expectNotFound(err)
}

// unknown reads a Cloud PC that is not there.
func unknown(endpoint *devicemanagement.VirtualEndpointRequestBuilder) {
	_, err := endpoint.CloudPCs().ByCloudPCId("00000000-0000-0000-0000-000000000001").Get(context.Background(), nil)
	expectNotFound(err)
}

// expectNotFound ends the program unless the error is Graph's, of something that is not there.
func expectNotFound(err error) {
	var refused *odataerrors.ODataError
	expect(errors.As(err, &refused), fmt.Sprintf("an error of Graph, not %v", err))
	expect(refused.GetStatusCode() == 404, "status 404")
	expect(*refused.GetErrorEscaped().GetCode() == "ResourceNotFound", "ResourceNotFound")
}

func expect(holds bool, what string) {
	if !holds {
		must(errors.New("expected " + what))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
