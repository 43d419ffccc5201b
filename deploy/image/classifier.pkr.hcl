# A machine's image with everything baked in. docs/image.md says what that saves, and how to use the image.
#
#   python -m deploy artifact build        # or any classifier-VERSION.tar.gz from the artefact bucket
#   packer init deploy/image
#   packer build -var artifact=classifier-VERSION.tar.gz deploy/image

packer {
  required_version = ">= 1.9"
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3, < 2"
    }
  }
}

variable "artifact" {
  type        = string
  description = "the code: classifier-VERSION.tar.gz"
}

variable "kind" {
  type        = string
  default     = "node"
  description = "node or web"
  validation {
    condition     = contains(["node", "web"], var.kind)
    error_message = "The kind is node or web."
  }
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type        = string
  default     = "c7i.large"
  description = "that the image is made on; of the same architecture as the nodes"
}

variable "subnet_id" {
  type        = string
  default     = ""
  description = "public subnet; empty: one of the default VPC"
}

variable "model" {
  type        = string
  default     = "everyday10"
  description = "whose weights the image is to hold"
}

variable "model_weights" {
  type    = string
  default = ""
}

variable "pip_extra_index_url" {
  type        = string
  default     = ""
  description = "PyTorch's index of CPU builds, for nodes without a GPU"
}

locals {
  version = trimsuffix(trimprefix(basename(var.artifact), "classifier-"), ".tar.gz")
  tags = {
    Name                   = "classifier-${var.kind}-${local.version}"
    "classifier:version"   = local.version
    "classifier:image-for" = var.kind
  }
}

data "amazon-parameterstore" "amazon_linux" {
  name   = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
  region = var.region
}

source "amazon-ebs" "machine" {
  region                      = var.region
  source_ami                  = data.amazon-parameterstore.amazon_linux.value
  instance_type               = var.instance_type
  subnet_id                   = var.subnet_id
  associate_public_ip_address = true
  ssh_username                = "ec2-user"
  ssh_interface               = "public_ip"
  # Nobody but who builds reaches the machine, and only while it is built.
  temporary_security_group_source_public_ip = true
  ami_name                                  = "classifier-${var.kind}-${local.version}-${formatdate("YYYYMMDDhhmmss", timestamp())}"
  ami_description                           = "Classifier's ${var.kind}, version ${local.version}"
  encrypt_boot                              = true
  imds_support                              = "v2.0"
  tags                                      = local.tags
  snapshot_tags                             = local.tags
  run_tags                                  = local.tags

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = 20
    delete_on_termination = true
  }
}

build {
  sources = ["source.amazon-ebs.machine"]

  provisioner "file" {
    source      = var.artifact
    destination = "/tmp/${basename(var.artifact)}"
  }

  provisioner "file" {
    source      = "${path.root}/build.sh"
    destination = "/tmp/build.sh"
  }

  provisioner "shell" {
    environment_vars = [
      "MODEL=${var.model}",
      "MODEL_WEIGHTS=${var.model_weights}",
      "PIP_EXTRA_INDEX_URL=${var.pip_extra_index_url}",
      "CLOUD=aws",
      "AWS_REGION=${var.region}",
    ]
    execute_command = "sudo env {{ .Vars }} bash {{ .Path }}"
    # One command: bash goes on after one that fails.
    inline = ["bash /tmp/build.sh /tmp/${basename(var.artifact)} ${var.kind} && rm -f /tmp/build.sh /tmp/${basename(var.artifact)}"]
  }

  post-processor "manifest" {
    output = "classifier-image.json"
  }
}
