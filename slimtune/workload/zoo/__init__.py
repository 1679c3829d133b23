"""The catalogue of networks: one import a family."""

from slimtune.workload.zoo.cifar_resnet import CifarResNet as CifarResNet
from slimtune.workload.zoo.protocol import ZOO as ZOO
from slimtune.workload.zoo.stem_resnet import stem_resnet as stem_resnet
from slimtune.workload.zoo.torchvision_zoo import torchvision_model as torchvision_model
